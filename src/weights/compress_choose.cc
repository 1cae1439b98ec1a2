// What each matrix gets under the limits, as far as it is decided before fitting.
#include <algorithm>
#include <cmath>

#include "choose.h"
#include "compressor_state.h"
#include "pith/base/error.h"

namespace pith::weights {

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

FormChoice ModelCompressor::State::choose(const Limits& limits, std::optional<double> bytes) const {
  const uint64_t most = limit_of_bytes(limits);
  const double smallest = static_cast<double>(tensors.overhead()) + candidates.smallest();
  if (static_cast<double>(most) < smallest) refuse(most, smallest);
  if (!bytes) bytes = room(limits);
  const double loss = expected_loss(limits);
  Choice choice =
      weights::choose(candidates, options.allocation,
                      CandidateTable::goal(bytes, limits.milliseconds,
                                           std::isinf(loss) ? std::nullopt : std::optional(loss)),
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

std::optional<double> ModelCompressor::State::room(const Limits& limits) const {
  const uint64_t most = limit_of_bytes(limits);
  if (most == UINT64_MAX) return {};
  return static_cast<double>(most) - static_cast<double>(tensors.overhead());
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

}  // namespace pith::weights
