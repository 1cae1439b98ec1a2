// A published method that learns how many directions each matrix's outputs need.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "pith/budget/soft_positions.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using Chosen = std::vector<size_t>;

// Ranks that a matrix may get, in this many parts of all its directions.
constexpr uint64_t kLevels = 16;

uint64_t rank_of_level(form::Shape shape, uint64_t level) {
  const uint64_t most = std::min(shape.rows, shape.cols);
  return std::max<uint64_t>((most * level + kLevels / 2) / kLevels, std::min<uint64_t>(most, 1));
}

// The matrix itself where factors would take as much.
fit::Fitter at_most_dense(fit::Fitter fitter) {
  return [fitter = std::move(fitter)](const fit::Task& task) {
    fit::Fitted factors = fitter(task);
    fit::Fitted whole = fit::measured(task, form::encode(form::parse("dense(bf16)"), task.weights));
    return form::bits(*factors.form) < form::bits(*whole.form) ? factors : whole;
  };
}

double room(const Choosing& c) {
  double most = std::numeric_limits<double>::infinity();
  for (const budget::Limit& limit : c.goal.within) {
    if (limit.of != "bytes") {
      fail(ErrorKind::kUsage, "this method keeps to bytes: it takes limits on nothing else");
    }
    most = std::min(most, limit.most);
  }
  if (std::isinf(most)) fail(ErrorKind::kUsage, "this method needs a limit on bytes");
  return most;
}

double bytes(const Choosing& c, size_t part, size_t candidate) {
  return c.problem.parts[part].candidates[candidate].costs[0];
}

// Levels below the positions, raised where most of a level is missing first, while there is room.
Chosen levels_of(const Choosing& c, const budget::SoftPositions& learned) {
  const size_t n = c.problem.parts.size();
  Chosen chosen(n);
  std::vector<std::pair<double, size_t>> missing;
  double left = room(c);
  for (size_t i = 0; i < n; ++i) {
    const size_t most = c.problem.parts[i].candidates.size() - 1;
    const uint64_t all = c.directions(i);
    const double level = all == 0 ? static_cast<double>(most)
                                  : learned.positions[i] / static_cast<double>(all) * kLevels - 1;
    chosen[i] = std::min(static_cast<size_t>(std::max(level, 0.0)), most);
    missing.emplace_back(static_cast<double>(chosen[i]) - level, i);
    left -= bytes(c, i, chosen[i]);
  }
  std::ranges::stable_sort(missing);
  // Bytes do not grow quite evenly: what is left after a round goes to another.
  for (bool raised = true; raised;) {
    raised = false;
    for (const auto& entry : missing) {
      const size_t i = entry.second;
      if (chosen[i] + 1 == c.problem.parts[i].candidates.size()) continue;
      const double more = bytes(c, i, chosen[i] + 1) - bytes(c, i, chosen[i]);
      if (more > left) continue;
      ++chosen[i];
      left -= more;
      raised = true;
    }
  }
  // The least level of each may be more than the positions' share of it.
  for (size_t k = missing.size(); left < 0 && k-- > 0;) {
    const size_t i = missing[k].second;
    while (left < 0 && chosen[i] > 0) {
      left += bytes(c, i, chosen[i]) - bytes(c, i, chosen[i] - 1);
      --chosen[i];
    }
  }
  return chosen;
}

Chosen learned_levels(const Choosing& c, const budget::SoftOptions& options, uint64_t windows,
                      bool learn) {
  if (!c.gated_loss) fail(ErrorKind::kUsage, "this method runs the model: it needs a text");
  std::vector<budget::SoftList> lists;
  double left = room(c);
  for (size_t i = 0; i < c.problem.parts.size(); ++i) {
    const uint64_t all = c.directions(i);
    const size_t half = c.problem.parts[i].candidates.size() / 2;
    if (all == 0) left -= bytes(c, i, c.problem.parts[i].candidates.size() - 1);
    // What half of all takes, for each.
    const auto ranks = std::max(1.0, static_cast<double>(all * (half + 1)) / kLevels);
    lists.push_back({all, bytes(c, i, half) / ranks});
  }
  budget::SoftOptions o = options;
  o.progress = c.progress;
  if (!learn) o.steps = 0;
  const auto loss = [&](const budget::Gates& gates, uint64_t step,
                        std::vector<std::vector<double>>& gradient) {
    return c.gated_loss(gates, windows, step, gradient);
  };
  return levels_of(c, budget::learn_positions(lists, left, loss, o));
}

void use_dobi_svd(const Values& values, Plan& plan) {
  std::vector<fit::RankOf> ranks;
  for (uint64_t level = 1; level <= kLevels; ++level) {
    ranks.emplace_back([level](form::Shape shape) { return rank_of_level(shape, level); });
  }
  const form::Expression factors = form::parse(values.find("factors")->second);
  const fit::TruncationOptions by_outputs{.damping = real(values, "damping", 0, 1e3),
                                          .by = fit::Weighing::kMoments};
  std::vector<fit::Fitter> fitters = fit::nested_low_ranks(std::move(ranks), factors, by_outputs);
  for (uint64_t level = 1; level <= kLevels; ++level) {
    plan.candidates.push_back({fmt::format("dobi-svd {}/{}", level, kLevels),
                               at_most_dense(std::move(fitters[level - 1])),
                               0,
                               {},
                               true});
  }
  const budget::SoftOptions options{.steps = number(values, "steps", 1, 100'000),
                                    .rate = real(values, "rate", 1e-4, 1),
                                    .width = real(values, "width", 1e-4, 1)};
  const uint64_t windows = number(values, "windows", 1, 1 << 20);
  const bool learn = word(values, "ranks", {"learned", "same"}) == "learned";
  plan.allocation.choose = [=](const Choosing& c) {
    return learned_levels(c, options, windows, learn);
  };
  leave_vocabulary(plan);
}

}  // namespace

Recipe dobi_svd() {
  Recipe r;
  r.name = "dobi-svd";
  r.id = "S282";
  r.title = "Dobi-SVD: Differentiable SVD for LLM Compression and Some New Perspectives";
  r.area = "weights";
  r.summary =
      "Outputs are cut off, not weights: how many of the directions in which a matrix's outputs "
      "vary are kept is learned by the model's own loss through soft gates, while the bytes stay; "
      "the matrix becomes V (Vᵀ W), in factors of 8 bits, so that bytes grow with the rank up to "
      "those of the whole matrix.";
  r.compose = "lowrank(r, factors=uniform(8, group=64)), dense(bf16)";
  r.differs =
      "the directions are those of the outputs of the model as it was, on all of the text at once, "
      "instead of each batch's singular vectors, so that neither gradients of a decomposition nor "
      "an "
      "incremental one are needed; the limit holds in every step, in place of a penalty; learned "
      "positions are rounded to sixteenths; both factors have 8 bits, which for square matrices is "
      "the paper's mixed precision, and a matrix stays whole where they would take as much.";
  r.verified =
      "recipe tests: at half the bytes of a layer of the reference model less divergence on "
      "held-out "
      "text than the same share everywhere, and less than half of that of 16-bit factors by "
      "inputs' "
      "sizes or second moments; no rank takes more than the whole matrix, and bytes grow with it. "
      "budget tests: near what taking the best elements gives; derivatives of gates are those of "
      "the "
      "loss. All layers in 7.4 of 14.1 MiB, 4096 tokens of calibration, 12 steps of one window, "
      "divergence on 5120 held-out tokens: learned 0.0141, the same share everywhere 0.0398, "
      "16-bit "
      "factors at those bytes 0.593, so that most comes of 8 bits. ASVD was compared by the "
      "importance of inputs alone. 40% of the bytes, and other models, were not tried.";
  r.example = "pith compress lm --recipe dobi-svd --ratio 2 -O steps=4";
  r.parts = {"fit/low_rank.h", "budget/soft_positions.h", "weights/allocation.h"};
  r.options = {{"steps", "40", "of learning"},
               {"rate", "0.03", "of the first step, as a share of all directions"},
               {"width", "0.03", "over which gates fall, the same"},
               {"windows", "2", "of calibration text for each step"},
               {"ranks", "learned", "learned, or the same share of directions everywhere"},
               {"damping", "0", "added to the inputs' second moments, as a share of their mean"},
               {"factors", "uniform(8, group=64)", "the form of both factors"}};
  r.place = {.acts = {Act::kFactored, Act::kQuantized, Act::kAllocated},
             .patterns = {},
             .criterion = Criterion::kFirstOrder,
             .moment = Moment::kIterative,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"factors", {"uniform(8, group=64)"}}};
  r.apply = use_dobi_svd;
  return r;
}

}  // namespace pith::recipe
