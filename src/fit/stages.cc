#include "pith/fit/stages.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "pith/base/error.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/masks.h"
#include "pith/fit/quantizers.h"

namespace pith::fit {
namespace {

// What the stages so far have made of the matrix.
struct State {
  std::optional<double> rank, kept;
  std::optional<int> bits;

  std::string values() const {
    return bits ? fmt::format("uniform({}, group=32)", *bits) : "dense(f16)";
  }
  // Of the matrix, or of both its factors.
  form::Expression expression(uint64_t block) const {
    if (!kept) return form::parse(values());
    const std::string blocks = block > 1 ? fmt::format("block={}, ", block) : "";
    return form::parse(fmt::format("sparse({}%, {}values={})", 100 * *kept, blocks, values()));
  }
};

void check(std::span<const Stage> stages) {
  if (stages.empty()) fail(ErrorKind::kUsage, "there are no stages");
  for (const Stage& s : stages) {
    const auto same = [&](const Stage& other) { return other.kind == s.kind; };
    if (std::ranges::count_if(stages, same) > 1) fail(ErrorKind::kUsage, "a stage comes twice");
    const bool codes = s.kind == StageKind::kCodes;
    const bool good = codes ? s.size >= 1 && s.size <= 8 && s.size == std::floor(s.size)
                            : s.size > 0 && s.size <= 1;
    if (!good) {
      fail(ErrorKind::kUsage, "a stage of size {}: {}", s.size,
           codes ? "bits are whole numbers from 1 to 8" : "shares are above 0 and at most 1");
    }
  }
}

Fitter fitter_of(const State& state, StageKind now, const StageOptions& options) {
  const form::Expression e = state.expression(options.block);
  // The metric alone: nothing comes after it that would see errors of other layers.
  if (state.rank) return low_rank_of_share(*state.rank, e, {.damping = 0.01});
  if (now == StageKind::kMask) {
    const bool free = !state.bits;
    return mask_fitter(e, free ? Score::kRemoval : Score::kActivation, Among::kAll, free);
  }
  return state.kept || !options.feedback ? nearest_fitter(e) : feedback_fitter(e);
}

void enter(State& state, const Stage& stage) {
  switch (stage.kind) {
    case StageKind::kCodes:
      state.bits = static_cast<int>(stage.size);
      break;
    case StageKind::kMask:
      state.kept = stage.size;
      break;
    case StageKind::kRank:
      state = {.rank = stage.size, .kept = {}, .bits = {}};
      break;
  }
}

}  // namespace

Fitter in_stages(std::vector<Stage> stages, const StageOptions& options) {
  check(stages);
  return [stages = std::move(stages), options](const Task& task) {
    State state;
    Fitted fitted;
    form::Matrix left;
    Task now = task;
    for (const Stage& stage : stages) {
      enter(state, stage);
      fitted = fitter_of(state, stage.kind, options)(now);
      left = form::decode(*fitted.form);
      now.weights = left.view();
    }
    return measured(task, fitted.form);
  };
}

}  // namespace pith::fit
