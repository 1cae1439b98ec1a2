// Methods that choose a form for each matrix, on the reference model and little text; what they
// chose is held against other choices of the same size on text that nothing has seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "../weights/testing_reference.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/budget/solve.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using budget::Problem;
using weights::Choose;
using weights::Choosing;
using weights::Limits;
using weights::Proxy;
using weights::testing::reference;
using Chosen = std::vector<size_t>;

// A recipe whose forms are fitted once; its choice among them, or another in its place.
class Bench {
 public:
  explicit Bench(std::string_view recipe, const Values& values = {},
                 const std::string& lossless = "layers.[4-7]") {
    Plan plan;
    apply(find_recipe(recipe), values, plan);
    recipes_own = plan.allocation.choose;
    weights::CompressModelOptions options;
    options.size = {.tokens = 1024, .window = 128};
    options.gradient_tokens = 1024;
    options.threads = 2;
    options.candidates = plan.candidates;
    options.allocation = plan.allocation;
    options.allocation.keep = true;
    options.allocation.choose = [this](const Choosing& c) { return chosen = now(c); };
    options.rules = {archive::lossless_rule(lossless)};
    compressor_ = std::make_unique<weights::ModelCompressor>(reference().model, reference().inputs,
                                                             weights::default_calibration_text(),
                                                             std::move(options));
  }

  weights::CompressedModel compress(const Limits& limits, Choose choose = {}) {
    now = choose ? std::move(choose) : recipes_own;
    return compressor_->compress(limits);
  }
  double divergence(const Limits& limits, Choose choose = {}) {
    const weights::CompressedModel made = compress(limits, std::move(choose));
    EXPECT_TRUE(made.measured);
    EXPECT_LE(made.plan.bytes, static_cast<double>(limits.bytes.value_or(UINT64_MAX)));
    return made.measured->divergence;
  }
  void look(const std::function<void(const Choosing&)>& look) {
    now = [&](const Choosing& c) {
      look(c);
      return Chosen(c.problem.parts.size(), 0);
    };
    compressor_->plan(kAny);
  }

  static constexpr Limits kAny = {.ratio = 1e-3};
  Choose recipes_own, now;
  Chosen chosen;

 private:
  std::unique_ptr<weights::ModelCompressor> compressor_;
};

Choose same_everywhere(size_t level) {
  return [level](const Choosing& c) { return Chosen(c.problem.parts.size(), level); };
}

Limits as_large_as(const weights::CompressedModel& made) {
  return {.bytes = static_cast<uint64_t>(made.plan.bytes)};
}

// Levels rise in a random order while they fit.
Choose at_random(uint64_t seed) {
  return [seed](const Choosing& c) {
    const Problem& p = c.problem;
    Chosen chosen(p.parts.size(), 0);
    for (uint64_t n = 0; n < 40 * p.parts.size(); ++n) {
      const auto i = static_cast<size_t>(random_unit(seed, n) * static_cast<double>(chosen.size()));
      if (chosen[i] + 1 == p.parts[i].candidates.size()) continue;
      ++chosen[i];
      if (!budget::meets(p, budget::totals(p, chosen), c.goal.within)) --chosen[i];
    }
    return chosen;
  };
}

Choose least_sum(Proxy proxy, bool reversed = false) {
  return [proxy, reversed](const Choosing& c) {
    Problem p = c.problem;
    for (size_t i = 0; i < p.parts.size(); ++i) {
      auto& candidates = p.parts[i].candidates;
      const double sensitivity = c.loss(proxy, i, 0) / candidates[0].costs[0];
      for (size_t j = 0; j < candidates.size(); ++j) {
        candidates[j].loss = c.loss(proxy, i, j) / (reversed ? sensitivity * sensitivity : 1);
      }
    }
    const auto solver = reversed ? budget::Solver::kAuto : budget::Solver::kDynamic;
    return budget::solve(p, c.goal, {.solver = solver}).chosen;
  };
}

TEST(AllocatingQuality, HawqsIntegerProgramIsBetterThanOtherChoicesOfTheSameSize) {
  Bench bench("hawq-v3", {{"levels", "3+4+5+6"}});
  const auto uniform = bench.compress(Bench::kAny, same_everywhere(1));
  const Limits limits = as_large_as(uniform);
  const double ours = bench.divergence(limits);
  EXPECT_LT(ours, 0.8 * uniform.measured->divergence);
  EXPECT_LT(ours, 0.5 * bench.divergence(limits, least_sum(Proxy::kTrace, true)));
  for (uint64_t seed = 0; seed < 3; ++seed) {
    EXPECT_LT(ours, 0.8 * bench.divergence(limits, at_random(seed))) << seed;
  }
}

TEST(AllocatingQuality, HawqsProgramKeepsToBytesAndTimeTogether) {
  Plan plan;
  apply(find_recipe("hawq-v3"), {}, plan);
  ASSERT_EQ(plan.candidates.size(), 2u);
  EXPECT_EQ(plan.candidates[0].name, "uniform(4, group=128)");
  Problem p{.resources = {"bytes", "milliseconds"}, .parts = {}};
  for (int i = 0; i < 12; ++i) {
    // Eight bits are larger, and slower for some shapes only.
    const double elements = 100 + 17.0 * i, sensitivity = 1 + (i * 7) % 5;
    p.parts.push_back(
        {.name = std::to_string(i),
         .candidates = {{"4", 256 * sensitivity, {elements / 2, elements}},
                        {"8", sensitivity, {elements, elements * (i % 2 == 0 ? 2 : 1)}}}});
  }
  const budget::Goal goal{.within = {{"bytes", 1700}, {"milliseconds", 2700}}};
  const Choosing choosing{.problem = p, .goal = goal, .loss = {}};
  const Chosen chosen = plan.allocation.choose(choosing);
  const budget::Totals totals = budget::totals(p, chosen);
  EXPECT_TRUE(budget::meets(p, totals, goal.within));
  double best = INFINITY;
  for (uint64_t all = 0; all < 4096; ++all) {
    Chosen other;
    for (int i = 0; i < 12; ++i) other.push_back(all >> i & 1);
    const budget::Totals t = budget::totals(p, other);
    if (budget::meets(p, t, goal.within)) best = std::min(best, t.loss);
  }
  EXPECT_DOUBLE_EQ(totals.loss, best);
}

TEST(AllocatingQuality, EvolutionIsBetterThanUniformBitsAndThanSumsOfLayerErrors) {
  Bench bench("evopress",
              {{"levels", "2+3+4"}, {"generations", "3"}, {"offspring", "8"}, {"windows", "4"}});
  const auto uniform = bench.compress(Bench::kAny, same_everywhere(1));
  const Limits limits = as_large_as(uniform);
  const double ours = bench.divergence(limits);
  const Chosen evolved = bench.chosen;
  EXPECT_LT(ours, 0.8 * uniform.measured->divergence);
  EXPECT_LT(ours, 0.8 * bench.divergence(limits, least_sum(Proxy::kSquared)));
  EXPECT_LT(ours, bench.divergence(limits, least_sum(Proxy::kOutputs)));
  // Errors are not monotone: less of them summed over the layers, and more lost.
  bench.look([&](const Choosing& c) {
    const auto summed = [&](const Chosen& chosen) {
      double sum = 0;
      for (size_t i = 0; i < chosen.size(); ++i) sum += c.loss(Proxy::kSquared, i, chosen[i]);
      return sum;
    };
    const Chosen same(evolved.size(), 1);
    EXPECT_GT(summed(evolved), summed(same));
    EXPECT_LT(c.divergence(evolved, 8, 0), 0.8 * c.divergence(same, 8, 0));
  });
}

TEST(AllocatingQuality, LevelsArePrunedSharesRanksAndNothingToo) {
  Bench bench("evopress",
              {{"levels", "drop+rank30%+60%+4"},
               {"generations", "1"},
               {"offspring", "4"},
               {"windows", "1"}},
              "layers.[1-7]|embed");
  bench.look([](const Choosing& c) {
    ASSERT_EQ(c.problem.parts.size(), 7u);
    for (const budget::Part& part : c.problem.parts) {
      ASSERT_EQ(part.candidates.size(), 4u);
      EXPECT_LT(part.candidates[0].costs[0], 100);
      EXPECT_GT(part.candidates[0].loss, part.candidates[1].loss);
    }
  });
  // Less than what four bits take.
  const auto full = bench.compress(Bench::kAny, same_everywhere(3));
  double bytes = 0;
  for (const auto& t : full.plan.tensors) bytes += t.bits * static_cast<double>(t.elements) / 8;
  const Limits limits{.bytes = static_cast<uint64_t>(full.plan.bytes - bytes / 5)};
  EXPECT_LT(bench.divergence(limits), bench.divergence(limits, same_everywhere(0)));
}

TEST(AllocatingQuality, EvolutionFindsTheLayersThatAreMissedLeast) {
  Bench bench("evopress",
              {{"levels", "drop+8"},
               {"unit", "layer"},
               {"generations", "6"},
               {"offspring", "8"},
               {"windows", "4"}},
              "embed");
  bench.look([&](const Choosing& c) {
    const auto dropping = [&](std::initializer_list<size_t> layers) {
      Chosen chosen;
      for (const auto& layer : c.layers) {
        chosen.push_back(std::ranges::find(layers, *layer) == layers.end() ? 1 : 0);
      }
      return chosen;
    };
    // Room for six layers of eight, and for a half.
    Choosing narrow = c;
    const double bytes = budget::totals(c.problem, dropping({})).costs[0];
    narrow.goal.within = {{"bytes", bytes * 6.5 / 8}};
    const Chosen evolved = bench.recipes_own(narrow);
    const double loss = c.divergence(evolved, 4, 0);
    size_t pairs = 0, better = 0, same = 0;
    for (size_t a = 0; a < 8; ++a) {
      for (size_t b = a + 1; b < 8; ++b) {
        ++pairs;
        const Chosen pair = dropping({a, b});
        same += pair == evolved ? 1 : 0;
        better += c.divergence(pair, 4, 0) < loss ? 1 : 0;
      }
    }
    EXPECT_EQ(pairs, 28u);
    EXPECT_EQ(same, 1u);
    EXPECT_LE(better, 1u);
  });
}

TEST(AllocatingQuality, GrecosTableIsAsGoodAsTryingAllAndNeverAboveTheReference) {
  Bench bench("l-greco", {{"levels", "2+3+4+5+6+8"}}, "layers.[1-7]|embed|down_proj");
  bench.look([&](const Choosing& c) {
    ASSERT_EQ(c.problem.parts.size(), 6u);
    const double most = budget::totals(c.problem, Chosen(6, 2)).loss;
    const Chosen ours = bench.recipes_own(c);
    const budget::Totals totals = budget::totals(c.problem, ours);
    EXPECT_LE(totals.loss, most);
    double best = INFINITY;
    for (size_t n = 0; n < 46656; ++n) {
      Chosen other;
      for (size_t i = 0, rest = n; i < 6; ++i, rest /= 6) other.push_back(rest % 6);
      const budget::Totals t = budget::totals(c.problem, other);
      if (t.loss <= most) best = std::min(best, t.costs[0]);
    }
    EXPECT_EQ(totals.costs[0], best);
  });
  EXPECT_THROW(bench.compress(
                   {.bytes = static_cast<uint64_t>(bench.compress(Bench::kAny).plan.bytes - 1000)}),
               Error);
}

TEST(AllocatingQuality, GrecosRanksTakeFewerBytesForTheSameError) {
  Bench bench("l-greco", {{"levels", "rank20%+rank40%+rank60%+rank80%"}, {"reference", "rank60%"}});
  const auto uniform = bench.compress(Bench::kAny, same_everywhere(2));
  const auto ours = bench.compress(Bench::kAny);
  EXPECT_LT(ours.plan.bytes, 0.99 * uniform.plan.bytes);
}

TEST(AllocatingQuality, EntropyBlocksLoseLessThanLayersAlone) {
  const auto divergence = [](const char* blocks, uint64_t& evaluations) {
    Bench bench("q-vlm", {{"levels", "3+4+5+6"}, {"blocks", blocks}}, "embed");
    const auto counted = [&](const Choosing& c) {
      Choosing other = c;
      other.stream_error = [&](size_t first, size_t last, std::span<const size_t> chosen,
                               uint64_t windows) {
        evaluations += last - first;
        return c.stream_error(first, last, chosen, windows);
      };
      return bench.recipes_own(other);
    };
    return bench.divergence({.bits = 6}, counted);
  };
  uint64_t alone = 0, entropy = 0, fixed = 0;
  const double by_entropy = divergence("entropy", entropy), by_layer = divergence("none", alone),
               by_fixed = divergence("fixed", fixed);
  EXPECT_LE(by_entropy, by_layer);
  // Fixed blocks of three lose about as little, with more runs of layers.
  EXPECT_LE(by_entropy, 1.05 * by_fixed);
  EXPECT_LT(entropy, 0.8 * static_cast<double>(fixed));
  EXPECT_EQ(alone, 32u);
}

TEST(AllocatingRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  for (const char* levels : {"", "4", "0+4", "4+9", "4+x", "4+5.5", "100%+4", "rank+4", "rank4+4",
                             "rank0%+4", "4++5", "+", "nan%+4"}) {
    for (const char* name : {"hawq-v3", "evopress", "l-greco", "q-vlm"}) {
      Plan fresh;
      EXPECT_THROW(apply(find_recipe(name), {{"levels", levels}}, fresh), Error)
          << name << " " << levels;
    }
  }
  EXPECT_THROW(apply(find_recipe("l-greco"), {{"reference", "7"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("q-vlm"), {{"blocks", "some"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("evopress"), {{"offspring", "1"}}, plan), Error);
  // Without a text there is nothing to run.
  for (const char* name : {"evopress", "q-vlm"}) {
    Plan fresh;
    apply(find_recipe(name), {}, fresh);
    const Problem p{.resources = {"bytes", "milliseconds"}, .parts = {}};
    EXPECT_THROW(fresh.allocation.choose({.problem = p, .goal = {}, .loss = {}}), Error) << name;
  }
}

}  // namespace
}  // namespace pith::recipe
