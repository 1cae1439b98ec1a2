// The fits of all matrices, and what follows them.
#include <algorithm>
#include <cmath>

#include "compressor_state.h"
#include "linears.h"
#include "pith/base/error.h"

namespace pith::weights {

using fit::Fitted;
using fit::Task;
using form::FormPtr;

CompressedModel ModelCompressor::State::fit_all(const FitOne& fit_one) {
  CompressedModel out;
  out.plan = empty_plan();
  FittedInOrder in_order(journal, start);
  tasks.fit(
      [&](const Task& task) -> FormPtr {
        Fitted fitted = fit_one(task, in_order);
        const uint64_t elements = task.weights.shape.size();
        const double bytes = static_cast<double>(form::bits(*fitted.form)) / 8;
        out.plan.add({.name = std::string(task.name),
                      .form = form::to_string(fitted.form->expression()),
                      .elements = elements,
                      .bits = 8 * bytes / static_cast<double>(elements),
                      .loss = fitted.error / 2});
        out.tensors[std::string(task.name)] = fitted.form;
        return fitted.form;
      },
      stage(options, "fitting"));
  return out;
}

// Where there is no choice.
const FormCandidate& ModelCompressor::State::form_of(std::string_view name) const {
  if (options.forms.empty()) return options.candidates[0];
  const auto found = options.forms.find(name);
  if (found == options.forms.end()) fail(ErrorKind::kUsage, "{}: no form was given for it", name);
  return found->second;
}

CompressedModel ModelCompressor::State::fit(const FormChoice& choice) {
  const auto& chosen = choice.forms;
  if (options.allocation.keep && !chosen.empty()) {
    CompressedModel out{.tensors = {}, .plan = plan_of(choice), .measured = {}};
    for (size_t i = 0; i < chosen.size(); ++i) {
      out.plan.tensors[i].form = form::to_string(chosen[i].form->expression());
      out.tensors[candidates.names()[i]] = chosen[i].form;
    }
    return out;
  }
  CompressedModel out = fit_all([&](const Task& task, FittedInOrder& in_order) {
    const FormCandidate* candidate = is_choice() ? nullptr : &form_of(task.name);
    for (size_t i = 0; i < chosen.size(); ++i) {
      if (candidates.names()[i] == task.name) candidate = chosen[i].candidate;
    }
    return in_order.fitted(task, KeyMaker().add(candidate->name),
                           [&] { return candidate->fitter(task); });
  });
  out.plan.note = choice.note;
  return out;
}

CompressedModel ModelCompressor::State::fit(std::optional<double> room, double step) {
  double predicted = 0, taken = 0;
  // In the order of visits, which is not that of the rates where the embedding is tied.
  std::vector<Rate> left = rates;
  return fit_all([&](const Task& task, FittedInOrder& in_order) {
    const auto rate = std::ranges::find(left, task.name, &Rate::name);
    if (room && predicted > 0) {
      // What rates said is held against what came of it, more so the more was fitted.
      const double seen = predicted / (predicted + 0.1 * bytes(left, step));
      const double correction = 1 + seen * (taken / predicted - 1);
      step = step_for_bytes(left, *room - taken, correction);
    }
    double now = step;
    for (int tries = 0;; ++tries) {
      Fitted fitted = in_order.fitted(task, KeyMaker().add(now), [&] {
        fitter.set_step(now);
        return fitter(task);
      });
      const double size = static_cast<double>(form::bits(*fitted.form)) / 8;
      const bool last = left.size() == 1;
      if (!room || !last || taken + size <= *room || tries == 12) {
        predicted += rate->bytes(now);
        taken += size;
        left.erase(rate);
        return fitted;
      }
      // The last one must fit.
      now *= std::exp2(8 * (taken + size - *room) / static_cast<double>(rate->elements()) + 0.002);
    }
  });
}

CompressedModel ModelCompressor::State::fit_within(const Limits& limits) {
  const double step = step_of(limits);
  const uint64_t most = limit_of_bytes(limits);
  if (!limits.divergence && !limits.perplexity) {
    return fit(static_cast<double>(most) - static_cast<double>(tensors.overhead()), step);
  }
  // What is to be expected is a beginning; what is measured decides.
  constexpr int kTries = 5;
  constexpr double kNear = 0.9;  // of the limit
  double wanted = expected_loss(limits);
  std::optional<CompressedModel> best;
  for (int i = 0; i < kTries; ++i) {
    CompressedModel made = fit(std::nullopt, step_for_loss(rates, wanted));
    if (text.held_out.size() < 2) return made;
    made.measured = measure(made);
    // How much of the limit was used.
    double used = 0;
    if (limits.divergence) used = made.measured->divergence / *limits.divergence;
    if (limits.perplexity) {
      const double grown = made.measured->perplexity / made.measured->perplexity_before - 1;
      used = std::max(used, grown / *limits.perplexity);
    }
    const bool within = used <= 1;
    if (within && (!best || made.plan.bytes < best->plan.bytes)) best = std::move(made);
    if (within && used >= kNear) break;
    wanted *= std::clamp(0.97 / std::max(used, 1e-3), 0.1, 4.0);
  }
  if (!best) {
    fail(ErrorKind::kLimit, "no size was found that loses as little as that on held-out text");
  }
  if (best->plan.bytes > static_cast<double>(most)) {
    fail(ErrorKind::kLimit, "{:.0f} bytes are needed to lose as little as that, {} are allowed",
         best->plan.bytes, most);
  }
  return std::move(*best);
}

// What matrices take is known of some rows of them only: where it was more than that, less is
// allowed.
CompressedModel ModelCompressor::State::fit_chosen(const Limits& limits) {
  constexpr int kTries = 6;
  const uint64_t most = limit_of_bytes(limits);
  std::optional<double> allowed;
  for (int i = 1;; ++i) {
    FormChoice choice = choose(limits, allowed);
    const double expected = plan_of(choice).bytes;
    CompressedModel made = fit(choice);
    const double beyond = made.plan.bytes - static_cast<double>(most);
    if (beyond <= 0) return made;
    const double matrices = expected - static_cast<double>(tensors.overhead());
    if (i == kTries || matrices <= candidates.smallest()) refuse(most, made.plan.bytes);
    // Less, and another choice than this.
    allowed = std::max(std::min(allowed.value_or(*room(limits)) - beyond, matrices - 1),
                       candidates.smallest());
  }
}

void ModelCompressor::State::require_met(const Limits& limits, CompressedModel& made) const {
  const uint64_t most = limit_of_bytes(limits);
  if (made.plan.bytes > static_cast<double>(most)) refuse(most, made.plan.bytes);
  if (!limits.divergence && !limits.perplexity) return;
  made.measured = measure(made);
  if (!made.measured) return;
  const HeldOut& m = *made.measured;
  if (limits.divergence && m.divergence > *limits.divergence) {
    fail(ErrorKind::kLimit, "one form alone diverges by {:.5f} nats a token, {:g} are allowed",
         m.divergence, *limits.divergence);
  }
  const double grown = m.perplexity / m.perplexity_before - 1;
  if (limits.perplexity && grown > *limits.perplexity) {
    fail(ErrorKind::kLimit, "with one form alone perplexity grows by {:.3g}%, {:.3g}% are allowed",
         100 * grown, 100 * *limits.perplexity);
  }
}

// In the order in which they are computed with.
std::vector<std::string> ModelCompressor::State::matrices() const {
  std::vector<std::string> all;
  const auto add = [&](std::string_view name) {
    if (tensors.fits(name)) all.emplace_back(name);
  };
  add(kEmbeddingName);
  for (const model::DecoderLayer& layer : model.weights().layers) {
    for (const model::Linear* l : linears(layer)) add(l->name);
  }
  if (!model.config().tied_embeddings) add(model.weights().head.name);
  return all;
}

void ModelCompressor::State::refine(const Limits& limits, CompressedModel& made) const {
  const std::vector<std::string> names = matrices();
  const uint64_t most = limit_of_bytes(limits);
  std::optional<double> bytes;
  if (most != UINT64_MAX) {
    bytes = static_cast<double>(most) - static_cast<double>(tensors.overhead());
  }
  ModelPlan plan = empty_plan();
  plan.note = made.plan.note;
  const FormsByName refined =
      options.refine({.model = model,
                      .matrices = names,
                      .forms = made.tensors,
                      .text = text,
                      .statistics = statistics ? &*statistics : nullptr,
                      .bytes = bytes,
                      .threads = options.threads,
                      .progress = stage(options, "refining"),
                      .note = [&](std::string note) { plan.note = std::move(note); }});
  for (const auto& [name, form] : refined) made.tensors[name] = form;
  for (const std::string& name : names) {
    const form::Form& form = *made.tensors.at(name);
    const uint64_t elements = form.shape().size();
    // What was expected of a matrix before is known no better.
    const auto was = std::ranges::find(made.plan.tensors, name, &PlannedTensor::name);
    plan.add({.name = name,
              .form = form::to_string(form.expression()),
              .elements = elements,
              .bits = static_cast<double>(form::bits(form)) / static_cast<double>(elements),
              .loss = was == made.plan.tensors.end() ? 0 : was->loss});
  }
  made.plan = std::move(plan);
}

void ModelCompressor::State::leave_out(CompressedModel& compressed) const {
  if (text.windows.empty()) {
    fail(ErrorKind::kUsage, "which experts can be left out shows on a text: it needs one");
  }
  const RoutingStudy study =
      study_routing(with_weights(model, compressed.tensors), text, text.count(), options.threads);
  compressed.thresholds = thresholds(study, *options.leave_out);
  compressed.plan.note += fmt::format("{}experts that a token of the text visits: {:.3f} of {}",
                                      compressed.plan.note.empty() ? "" : "; ",
                                      experts_per_token(study, compressed.thresholds),
                                      model.config().experts_per_token);
}

}  // namespace pith::weights
