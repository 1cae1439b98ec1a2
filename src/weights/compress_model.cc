#include "pith/weights/compress_model.h"

#include <algorithm>
#include <cmath>

#include "candidates.h"
#include "choose.h"
#include "held_out.h"
#include "linears.h"
#include "model_tasks.h"
#include "model_tensors.h"
#include "pith/base/error.h"
#include "pith/weights/journal.h"
#include "rates.h"

namespace pith::weights {

using fit::Fitted;
using fit::Task;
using form::FormPtr;
using model::LanguageModel;

namespace {

// Results of other versions' fitters are not gone on with; raised with every change of what they
// give.
constexpr std::string_view kFitters = "fitters 2";
// Of which sizes of inputs are kept; the walks that fit see more.
constexpr uint64_t kInputTokens = 2048;
// Of models with more, gradients are made for fewer tokens.
constexpr uint64_t kLarge = 500'000'000;

Progress stage(const CompressModelOptions& options, const char* name) {
  return options.progress ? options.progress(name) : Progress();
}

}  // namespace

void ModelPlan::add(PlannedTensor tensor) {
  bytes += tensor.bits * static_cast<double>(tensor.elements) / 8;
  divergence += tensor.loss;
  tensors.push_back(std::move(tensor));
}

namespace {

// By `make`, or what it gave before for the same key.
Fitted kept_or_made(Journal& journal, const Hash128& key, const std::function<Fitted()>& make) {
  if (std::optional<Bytes> kept = journal.find(key)) {
    const auto owner = std::make_shared<const Bytes>(std::move(*kept));
    const size_t size = owner->size() - sizeof(double);
    return {form::read(ByteView(*owner).first(size), owner), load_le<double>(owner->data() + size)};
  }
  Fitted made = make();
  if (journal.on()) {
    Bytes bytes = form::write(*made.form);
    bytes.resize(bytes.size() + sizeof(double));
    store_le(bytes.data() + bytes.size() - sizeof(double), made.error);
    journal.keep(key, bytes);
  }
  return made;
}

// What was fitted, in order: the key of each follows from all before it.
class FittedInOrder {
 public:
  FittedInOrder(Journal& journal, const Hash128& start) : journal_(journal), key_(start) {}

  // how: all that it depends on beside the task.
  Fitted fitted(const Task& task, const KeyMaker& how, const std::function<Fitted()>& make) {
    key_ = KeyMaker().add(key_).add(task.name).add(how.key()).key();
    return kept_or_made(journal_, key_, make);
  }

 private:
  Journal& journal_;
  Hash128 key_;
};

}  // namespace

// A form for each matrix of the candidates' table.
struct FormChoice {
  std::vector<CandidateTable::Chosen> forms = {};
  std::string note = {};
};

struct ModelCompressor::State {
  State(const LanguageModel& m, std::vector<archive::Input> in, std::string_view calibration,
        CompressModelOptions o)
      : model(m),
        options(std::move(o)),
        tensors(m, std::move(in), options.rules, options.threads),
        journal(options.journal),
        fitter({.step = 1}),
        candidates(options.candidates, options.allocation.proxy, options.allocation.keep) {
    if (options.input_size)
      tensors.count_as(options.input_size->weights, options.input_size->bytes);
    // Known now: no reason to find out after the fit.
    if (leaves_out()) with_thresholds(tensors.inputs(), {});
    if (options.calibrated) {
      text = calibration_text(model, calibration, options.size);
      calibrate_model();
    }
    start = key_of_start();
    if (is_choice()) measure_rates();
  }

  bool leaves_out() const { return options.leave_out && model.config().experts > 0; }
  // Whether what a weight gets is decided before it is fitted, or is fitted beforehand.
  bool is_choice() const {
    if (is_together()) return false;
    const bool several = options.candidates.size() != 1 || options.allocation.keep;
    return several && options.forms.empty();
  }
  // Whether nothing is fitted by itself.
  bool is_together() const { return options.refine && options.candidates.empty(); }
  const FormCandidate& form_of(std::string_view name) const;

  void calibrate_model();
  Hash128 key_of_start() const;
  void measure_rates();
  void measure_candidates(const Task& task);

  uint64_t limit_of_bytes(const Limits& limits) const;
  [[noreturn]] void refuse(uint64_t most, double smallest) const;
  static double expected_loss(const Limits& limits);
  double step_of(const Limits& limits) const;
  ModelPlan empty_plan() const {
    return {.tensors = {},
            .overhead = tensors.overhead(),
            .weights = tensors.weights(),
            .bytes = static_cast<double>(tensors.overhead()),
            .divergence = 0};
  }
  ModelPlan plan_of(double step) const;
  ModelPlan plan_of(const FormChoice& choice) const;
  FormChoice choose(const Limits& limits) const;

  using FitOne = std::function<Fitted(const Task&, FittedInOrder&)>;
  CompressedModel fit_all(const FitOne& fit_one);
  CompressedModel fit(std::optional<double> room, double step);
  CompressedModel fit(const FormChoice& choice);
  CompressedModel fit_within(const Limits& limits);
  std::vector<std::string> matrices() const;
  void refine(const Limits& limits, CompressedModel& made) const;
  std::optional<HeldOut> measure(const CompressedModel& compressed) const {
    const LanguageModel small =
        compressed.thresholds.empty()
            ? with_weights(model, compressed.tensors)
            : with_weights(model, compressed.tensors, compressed.thresholds);
    return measure_held_out(model, small, text, options.threads,
                            stage(options, "measuring what was lost"));
  }
  void leave_out(CompressedModel& compressed) const;

  const LanguageModel& model;
  CompressModelOptions options;
  ModelTensors tensors;
  Journal journal;
  Hash128 start;  // of all that fits depend on
  CalibrationText text;
  std::optional<CalibrationStatistics> statistics;
  fit::WaterFilling fitter;
  std::vector<Rate> rates;    // of integers
  CandidateTable candidates;  // of others
  ModelTasks tasks{
      model,          tensors, statistics, options.calibrated ? &text : nullptr, options.curvature,
      options.threads};
};

void ModelCompressor::State::calibrate_model() {
  if (options.statistics) {
    require_model(*options.statistics, model, "the statistics");
    statistics = std::move(options.statistics);
    return;
  }
  const uint64_t gradient_tokens = options.gradient_tokens.value_or(
      tensors.weights() > kLarge ? kGradientTokens / 2 : kGradientTokens);
  const uint64_t some =
      std::clamp<uint64_t>(gradient_tokens / text.length, 1, text.count()) * text.length;
  const std::span<const int32_t> windows = std::span(text.windows).first(some);
  const auto make = [&] {
    return calibrate(model, windows, text.length,
                     {.input_tokens = kInputTokens,
                      .gradient_tokens = gradient_tokens,
                      .gradient_moments = options.curvature.output_moments,
                      .threads = options.threads,
                      .progress = stage(options, "calibrating")});
  };
  if (!journal.on()) {
    statistics = make();
    return;
  }
  const std::filesystem::path kept =
      journal.file(KeyMaker()
                       .add(kFitters)
                       .add(weights_hash(model))
                       .add(ids_hash(windows, text.length))
                       .add(gradient_tokens)
                       .add(uint64_t{options.curvature.output_moments})
                       .key());
  try {
    if (std::filesystem::exists(kept)) statistics = read_statistics(kept);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;  // a damaged one is made again
  }
  if (statistics) return;
  statistics = make();
  write_statistics(*statistics, kept, true);
}

Hash128 ModelCompressor::State::key_of_start() const {
  KeyMaker key;
  key.add(kFitters).add(options.journal_key);
  if (statistics) {
    key.add(statistics->model).add(statistics->text).add(statistics->gradient_tokens);
    key.add(statistics->seed).add(ids_hash(text.windows, text.length));
  } else if (journal.on()) {
    key.add(weights_hash(model));
  }
  return key.key();
}

void ModelCompressor::State::measure_rates() {
  tasks.look(
      [&](const Task& task) {
        if (!options.candidates.empty()) return measure_candidates(task);
        const Hash128 key = KeyMaker().add(start).add("rate").add(task.name).key();
        const std::optional<Bytes> kept = journal.find(key);
        rates.push_back(kept ? Rate(task, *kept) : Rate(fitter, task));
        if (!kept && journal.on()) journal.keep(key, rates.back().write());
      },
      stage(options, "measuring rates"));
}

void ModelCompressor::State::measure_candidates(const Task& task) {
  candidates.measure(task, [&](const FormCandidate& candidate, const Task& of_task) {
    if (!options.allocation.keep) {
      return candidate.trial ? candidate.trial(of_task) : candidate.fitter(of_task);
    }
    const Hash128 key =
        KeyMaker().add(start).add("candidate").add(task.name).add(candidate.name).key();
    return kept_or_made(journal, key, [&] { return candidate.fitter(of_task); });
  });
}

ModelPlan ModelCompressor::State::plan_of(double step) const {
  ModelPlan plan = empty_plan();
  for (const Rate& r : rates) {
    plan.add({.name = r.name(),
              .form = "integer > rans",
              .elements = r.elements(),
              .bits = 8 * r.bytes(step) / static_cast<double>(r.elements()),
              .loss = r.loss(step)});
  }
  return plan;
}

ModelPlan ModelCompressor::State::plan_of(const FormChoice& choice) const {
  const auto& chosen = choice.forms;
  ModelPlan plan = empty_plan();
  plan.note = choice.note;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const std::string& name = candidates.names()[i];
    const uint64_t elements = tensors.elements(name);
    plan.add({.name = name,
              .form = chosen[i].candidate->name,
              .elements = elements,
              .bits = 8 * chosen[i].bytes / static_cast<double>(elements),
              .loss = chosen[i].loss});
  }
  return plan;
}

FormChoice ModelCompressor::State::choose(const Limits& limits) const {
  const uint64_t most = limit_of_bytes(limits);
  std::optional<double> bytes;
  if (most != UINT64_MAX) {
    const double smallest = static_cast<double>(tensors.overhead()) + candidates.smallest();
    if (static_cast<double>(most) < smallest) refuse(most, smallest);
    bytes = static_cast<double>(most) - static_cast<double>(tensors.overhead());
  }
  Choice choice =
      weights::choose(candidates, options.allocation,
                      CandidateTable::goal(bytes, limits.milliseconds, limits.divergence),
                      {.model = model,
                       .text = text,
                       .statistics = statistics ? &*statistics : nullptr,
                       .threads = options.threads,
                       .progress = stage(options, "choosing")});
  return {candidates.chosen(choice.chosen), std::move(choice.note)};
}

// UINT64_MAX: no limit on bytes.
uint64_t ModelCompressor::State::limit_of_bytes(const Limits& limits) const {
  double most = static_cast<double>(UINT64_MAX);
  if (limits.bytes) most = std::min(most, static_cast<double>(*limits.bytes));
  if (limits.bits) most = std::min(most, *limits.bits * static_cast<double>(tensors.weights()) / 8);
  if (limits.ratio)
    most = std::min(most, static_cast<double>(tensors.input_bytes()) / *limits.ratio);
  return most >= static_cast<double>(UINT64_MAX) ? UINT64_MAX : static_cast<uint64_t>(most);
}

void ModelCompressor::State::refuse(uint64_t most, double smallest) const {
  fail(ErrorKind::kLimit,
       "{} bytes are asked for, and the smallest archive of this model has about {:.0f} ({:.3f} "
       "bits a weight), {} of them for what is not fitted",
       most, smallest, 8 * smallest / static_cast<double>(tensors.weights()), tensors.overhead());
}

// Nats a token. Losses grow about as much as predictions diverge.
double ModelCompressor::State::expected_loss(const Limits& limits) {
  double most = INFINITY;
  if (limits.divergence) most = *limits.divergence;
  if (limits.perplexity) most = std::min(most, std::log1p(*limits.perplexity));
  return most;
}

double ModelCompressor::State::step_of(const Limits& limits) const {
  const bool quality = limits.divergence || limits.perplexity;
  const uint64_t most = limit_of_bytes(limits);
  if (most == UINT64_MAX && !quality) fail(ErrorKind::kUsage, "no limit was given");
  const double smallest = static_cast<double>(tensors.overhead()) + bytes(rates, 1e30);
  if (static_cast<double>(most) < smallest) refuse(most, smallest);
  double step = 0;
  if (most != UINT64_MAX) {
    step =
        step_for_bytes(rates, static_cast<double>(most) - static_cast<double>(tensors.overhead()));
  }
  // Where both are limits, the archive is as small as the loss allows.
  return quality ? std::max(step, step_for_loss(rates, expected_loss(limits))) : step;
}

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

ModelCompressor::ModelCompressor(const LanguageModel& model, std::vector<archive::Input> inputs,
                                 std::string_view text, CompressModelOptions options)
    : state_(std::make_unique<State>(model, std::move(inputs), text, std::move(options))) {}
ModelCompressor::~ModelCompressor() = default;

ModelPlan ModelCompressor::plan(const Limits& limits) const {
  const State& s = *state_;
  if (s.is_choice()) {
    return s.options.candidates.empty() ? s.plan_of(s.step_of(limits))
                                        : s.plan_of(s.choose(limits));
  }
  fail(ErrorKind::kUsage, "what one form will take is known when it is fitted");
}

CompressedModel ModelCompressor::compress(const Limits& limits) {
  State& s = *state_;
  CompressedModel out;
  if (s.is_together()) {
    if (limits.divergence || limits.perplexity || limits.milliseconds) {
      fail(ErrorKind::kUsage, "what is fitted together takes limits on bytes alone");
    }
    out.plan = s.empty_plan();
  } else if (!s.is_choice()) {
    out = s.fit(FormChoice());
  } else if (s.options.candidates.empty()) {
    out = s.fit_within(limits);
  } else {
    out = s.fit(s.choose(limits));
  }
  if (s.options.refine) s.refine(limits, out);
  if (s.leaves_out()) s.leave_out(out);
  if (!out.measured || s.options.refine || s.leaves_out()) out.measured = s.measure(out);
  s.model.release();  // whoever writes the archive reads the files by itself
  return out;
}

void ModelCompressor::store(const CompressedModel& compressed,
                            archive::WriteOptions& options) const {
  options.forms = state_->options.rules;
  options.fitted = state_->tensors.stored_as(compressed.tensors);
}

const std::vector<archive::Input>& ModelCompressor::inputs() const {
  return state_->tensors.inputs();
}
std::vector<archive::Input> ModelCompressor::inputs(const CompressedModel& compressed) const {
  if (compressed.thresholds.empty()) return inputs();
  return with_thresholds(inputs(), compressed.thresholds);
}
uint64_t ModelCompressor::input_bytes() const { return state_->tensors.input_bytes(); }

const Journal& ModelCompressor::journal() const { return state_->journal; }

const std::optional<CalibrationStatistics>& ModelCompressor::statistics() const {
  return state_->statistics;
}

}  // namespace pith::weights
