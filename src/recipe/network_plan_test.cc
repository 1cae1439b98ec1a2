// A small residual network in integers, whose layers get bits by their curvature; its accuracy on
// images that nothing has seen.
#include "pith/recipe/network_plan.h"

#include <gtest/gtest.h>

#include <optional>

#include "../network/testing_data.h"
#include "../network/testing_images.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/budget/solve.h"
#include "pith/network/curvature.h"

namespace pith::recipe {
namespace {

using namespace network::testing;
using budget::Goal;
using budget::Problem;
using Chosen = std::vector<size_t>;

network::Network folded() {
  network::Graph graph = graph_of_file("residual.onnx");
  fold_batch_norms(graph);
  return network::Network(std::move(graph));
}

// One limit on a network, and choices within it, by their accuracy on held-out images.
class Study {
 public:
  // The limit: what the level `like` everywhere takes.
  Study(Values values, const std::string& resource, size_t like)
      : options_(network_options("hawq-v3", std::move(values))) {
    options_.probes = 4;
    const std::vector<double> none(net_.layers().size(), 0);
    const Problem p = network::bits_problem(net_, seen_, options_.levels, none);
    goal_.within = {{resource, budget::totals(p, same_everywhere(p, like)).of(p, resource)}};
    made_ =
        network::with_mixed_bits(net_, calibration_.pixels, calibration_.classes, goal_, options_);
  }

  static Chosen same_everywhere(const Problem& p, size_t level) {
    Chosen chosen;
    for (const budget::Part& part : p.parts) chosen.push_back(part.fixed.value_or(level));
    return chosen;
  }

  const Problem& problem() const { return made_->problem; }
  const Goal& goal() const { return goal_; }
  double ours() const { return accuracy(made_->integers); }
  double of(const Chosen& chosen) const {
    EXPECT_TRUE(budget::meets(problem(), budget::totals(problem(), chosen), goal_.within));
    std::vector<int> bits;
    for (const size_t level : chosen) bits.push_back(options_.levels[level]);
    return accuracy({network::with_integer_weights(net_, bits), seen_, bits});
  }

 private:
  double accuracy(const network::IntegerNetwork& integers) const {
    const auto codes = integers.run(integers.quantized(held_out_.pixels), 2);
    return network::accuracy(integers.dequantized(codes), held_out_.classes);
  }

  network::Network net_ = folded();
  Images calibration_ = draw_images(500'000, 64), held_out_ = draw_images(kHeldOut, 500);
  network::ActivationSamples seen_{net_, calibration_.pixels};
  network::MixedBitsOptions options_;
  Goal goal_;
  std::optional<network::MixedBits> made_;
};

Chosen least(const Problem& p, const Goal& goal) {
  return budget::solve(p, goal, {.solver = budget::Solver::kInteger}).chosen;
}

// As if the most sensitive layers were the least.
Chosen reversed(Problem p, const Goal& goal) {
  for (budget::Part& part : p.parts) {
    const double loss = part.candidates[0].loss / part.candidates[0].costs[0];
    for (budget::Candidate& c : part.candidates) c.loss = loss > 0 ? c.loss / (loss * loss) : 0;
  }
  return least(p, goal);
}

Chosen at_random(const Problem& p, const Goal& goal, uint64_t seed) {
  Chosen chosen;
  for (const budget::Part& part : p.parts) chosen.push_back(part.fixed.value_or(0));
  for (uint64_t n = 0; n < 40 * chosen.size(); ++n) {
    const auto i = static_cast<size_t>(random_unit(seed, n) * static_cast<double>(chosen.size()));
    if (p.parts[i].fixed || chosen[i] + 1 == p.parts[i].candidates.size()) continue;
    ++chosen[i];
    if (!budget::meets(p, budget::totals(p, chosen), goal.within)) --chosen[i];
  }
  return chosen;
}

TEST(NetworkPlanQuality, HawqsBitsAreBetterThanOthersOfAsManyBytes) {
  const Study study({{"levels", "2+3+4+5+6+8"}}, "bytes", 1);
  const double ours = study.ours();
  EXPECT_GT(ours, study.of(Study::same_everywhere(study.problem(), 1)) + 0.02);
  EXPECT_GT(ours, study.of(reversed(study.problem(), study.goal())) + 0.1);
  double random = 0;
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const double one = study.of(at_random(study.problem(), study.goal(), seed));
    EXPECT_GT(ours, one - 0.02) << seed;
    random += one / 3;
  }
  EXPECT_GT(ours, random + 0.1);
}

TEST(NetworkPlan, RefusesOtherRecipesAndLevels) {
  EXPECT_EQ(network_options("hawq-v3").levels, (std::vector<int>{4, 8}));
  EXPECT_EQ(network_options("S010", {{"levels", "2+3"}}).levels, (std::vector<int>{2, 3}));
  EXPECT_THROW(network_options("rtn"), Error);
  EXPECT_THROW(network_options("hawq-v3", {{"levels", "4+60%"}}), Error);
  EXPECT_THROW(network_options("hawq-v3", {{"odd", "1"}}), Error);
}

}  // namespace
}  // namespace pith::recipe
