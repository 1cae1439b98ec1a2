// What published allocators claim, as far as an allocator alone can show it.
#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "random_problem.h"

namespace pith::budget {
namespace {

using testing::brute_force;
using testing::Draw;

// HAWQ-V3 (Yao et al. 2021): 4 or 8 bits for every layer, by sensitivity, within size, operations
// and latency at once. Better than the uniform, a reversed and random choices within the same.
TEST(Published, HawqMixedBitsWithinSizeOperationsAndLatency) {
  Draw draw{7};
  Problem problem{{"bytes", "operations", "ms"}, {}};
  for (int i = 0; i < 16; ++i) {
    const double elements = 1000 * (1 + i % 5), positions = 1 + i % 7,
                 trace = std::exp(4 * draw.unit());
    Part part{fmt::format("conv{}", i), {}};
    for (const int bits : {4, 8}) {
      part.candidates.push_back({std::to_string(bits),
                                 trace * elements * std::exp2(-2 * bits),
                                 {elements * bits / 8, elements * positions * bits * bits,
                                  elements * positions * (bits == 4 ? 1.0 : 1.5) * 1e-6}});
    }
    problem.parts.push_back(part);
  }
  std::vector<size_t> all4(16, 0), all8(16, 1);
  const Totals low = totals(problem, all4), high = totals(problem, all8);
  Goal goal;
  for (size_t k = 0; k < 3; ++k) {
    goal.within.push_back({problem.resources[k], 0.5 * low.costs[k] + 0.5 * high.costs[k]});
  }
  const Solution s = solve(problem, goal);
  EXPECT_TRUE(meets(problem, s.totals, goal.within));
  EXPECT_LT(s.gap(), 0.2);
  EXPECT_LT(s.value, 0.3 * low.loss);  // the best uniform choice within the limits

  Problem reversed = problem;
  std::vector<double> traces;
  for (const Part& part : problem.parts) traces.push_back(part.candidates[0].loss);
  for (size_t i = 0; i < 16; ++i) {
    for (Candidate& candidate : reversed.parts[i].candidates)
      candidate.loss = 1 / (candidate.loss + 1e-9);
    std::swap(reversed.parts[i].candidates[0].loss, reversed.parts[i].candidates[1].loss);
  }
  EXPECT_GT(totals(problem, solve(reversed, goal).chosen).loss, 1.5 * s.value);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<size_t> chosen(16);
    for (size_t& c : chosen) c = draw.below(2);
    const Totals sums = totals(problem, chosen);
    if (meets(problem, sums, goal.within)) {
      EXPECT_GE(sums.loss, s.bound);
      EXPECT_GE(sums.loss, s.value);
    }
  }
}

// Squared error and bytes of keeping the greatest of a gradient's elements, whose sizes fall as a
// power of their rank.
Candidate top_k(double elements, double decay, double scale, double share) {
  double kept = 0, all = 0;
  for (double rank = 1; rank <= 1000; ++rank) {
    const double square = std::pow(rank, -2 * decay);
    all += square;
    if (rank <= 1000 * share) kept += square;
  }
  return {fmt::format("top {}%", 100 * share),
          scale * elements * (1 - kept / all),
          {std::ceil(elements * share) * 6}};
}

// L-GreCo (Alimohammadi et al. 2023): the fewest bytes whose total squared error is at most that of
// a uniform choice. Fewer than the uniform choice, and on six layers what a search through all
// finds.
TEST(Published, LGreCoSendsFewerBytesAtTheErrorOfAUniformChoice) {
  double of_uniform = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Draw draw{seed};
    Problem problem{{"bytes"}, {}};
    for (int i = 0; i < 6; ++i) {
      const double elements = std::floor(std::exp(6 + 5 * draw.unit()));
      const double decay = 0.3 + draw.unit(), scale = std::exp(3 * draw.unit());
      Part part{fmt::format("layer{}", i), {}};
      for (const double share : {0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.12}) {
        part.candidates.push_back(top_k(elements, decay, scale, share));
      }
      problem.parts.push_back(part);
    }
    const Totals uniform = totals(problem, std::vector<size_t>(6, 3));
    const Goal goal{.least = "bytes", .within = {{"loss", uniform.loss}}};
    const double optimum = *brute_force(problem, goal);
    const Solution s = solve(problem, goal, {.solver = Solver::kDynamic});
    EXPECT_LE(s.totals.loss, uniform.loss);
    EXPECT_LE(s.value, 1.001 * optimum);  // errors are quantized
    of_uniform += s.value / uniform.costs[0] / 10;
    EXPECT_LE(s.bound, optimum * (1 + 1e-12));
    EXPECT_EQ(solve(problem, goal, {.solver = Solver::kInteger}).value, optimum);
  }
  EXPECT_LT(of_uniform, 0.85);
}

// AdaQuant (Hubara et al. 2021): bits for every layer by integer program from losses measured one
// layer at a time, under a size or under a loss. Below uniform bits at equal bytes, fewer bytes at
// equal loss.
TEST(Published, AdaQuantIntegerProgramBeatsUniformBits) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Draw draw{seed + 50};
    Problem problem{{"bytes"}, {}};
    for (int i = 0; i < 20; ++i) {
      const double elements = std::floor(std::exp(6 + 4 * draw.unit())),
                   loss = std::exp(5 * draw.unit());
      Part part{fmt::format("layer{}", i), {}};
      for (const int bits : {2, 4, 8}) {
        part.candidates.push_back({fmt::format("{} bits", bits),
                                   loss * std::exp2(-1.7 * bits),
                                   {std::ceil(elements * bits / 8)}});
      }
      problem.parts.push_back(part);
    }
    const Totals uniform = totals(problem, std::vector<size_t>(20, 1));
    const Options integer{.solver = Solver::kInteger};
    const Solution size = solve(problem, {.within = {{"bytes", uniform.costs[0]}}}, integer);
    EXPECT_LE(size.totals.costs[0], uniform.costs[0]);
    EXPECT_LT(size.value, 0.8 * uniform.loss);
    EXPECT_TRUE(size.optimal());
    const Solution loss =
        solve(problem, {.least = "bytes", .within = {{"loss", uniform.loss}}}, integer);
    EXPECT_LT(loss.value, 0.95 * uniform.costs[0]);
    EXPECT_TRUE(loss.optimal());
  }
}

}  // namespace
}  // namespace pith::budget
