#include "pith/budget/evolve.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/budget/solve.h"
#include "random_problem.h"

namespace pith::budget {
namespace {

using testing::Draw;

// Layers whose errors act on each other: measured alone each has its own loss, but neighbours that
// are both coarse lose far more, and some pairs undo each other's errors.
struct Entangled {
  Problem problem{{"bytes"}, {}};
  std::vector<double> error;  // of each level: 2, 3 or 4 bits
  std::vector<double> coupling;

  explicit Entangled(uint64_t seed, size_t layers = 10) : error({1, 0.3, 0.05}) {
    Draw draw{seed};
    for (size_t i = 0; i < layers; ++i) {
      const double sensitivity = std::exp(3 * draw.unit());
      Part part{fmt::format("layer{}", i), {}};
      for (size_t level = 0; level < 3; ++level) {
        part.candidates.push_back({fmt::format("{} bits", level + 2),
                                   sensitivity * error[level],
                                   {100.0 * static_cast<double>(level + 2)}});
      }
      problem.parts.push_back(part);
      coupling.push_back(draw.below(2) == 0 ? 30 * draw.unit() : -0.5 * sensitivity);
    }
  }

  double loss(std::span<const size_t> chosen) const {
    double sum = totals(problem, chosen).loss;
    for (size_t i = 0; i + 1 < chosen.size(); ++i) {
      sum += coupling[i] * error[chosen[i]] * error[chosen[i + 1]];
    }
    return sum;
  }

  Limit limit() const { return {"bytes", 300.0 * static_cast<double>(problem.parts.size())}; }

  TrueLoss measured() const {
    return [this](std::span<const size_t> chosen, uint64_t, uint64_t) { return loss(chosen); };
  }

  // By search through all.
  double least() const {
    double best = std::numeric_limits<double>::infinity();
    std::vector<size_t> chosen(problem.parts.size(), 0);
    for (;;) {
      if (totals(problem, chosen).costs[0] <= limit().most) best = std::min(best, loss(chosen));
      size_t i = 0;
      while (i < chosen.size() && ++chosen[i] == 3) chosen[i++] = 0;
      if (i == chosen.size()) return best;
    }
  }
};

// Below the uniform choice, and below the best for the sum of the layers' own losses, which is not
// the best true one: a smaller sum with a greater true loss. Near the optimum of all choices.
TEST(Evolve, BeatsAdditiveSolversWhereLossesDoNotAdd) {
  int better = 0;
  double excess = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Entangled layers(seed);
    const std::vector<Limit> limits = {layers.limit()};
    const Solution additive =
        solve(layers.problem, {.within = limits}, {.solver = Solver::kDynamic});
    const std::vector<size_t> uniform(10, 1);
    EvolveOptions options;
    options.seed = seed;
    options.generations = 60;
    for (const std::vector<size_t>& start : {std::vector<size_t>{}, uniform}) {
      options.start = start;
      const Evolved evolved = evolve(layers.problem, limits, layers.measured(), options);
      EXPECT_TRUE(meets(layers.problem, evolved.totals, limits));
      EXPECT_EQ(evolved.loss, layers.loss(evolved.chosen));
      EXPECT_EQ(evolved.start_loss, layers.loss(start.empty() ? additive.chosen : start));
      EXPECT_LE(evolved.loss, evolved.start_loss);
      EXPECT_LT(evolved.loss, layers.loss(uniform));
      if (start.empty()) {
        better += evolved.loss < 0.98 * layers.loss(additive.chosen) &&
                  evolved.totals.loss > additive.totals.loss;
        excess += evolved.loss / layers.least() - 1;
      }
    }
  }
  EXPECT_GE(better, 6);
  EXPECT_LT(excess / 8, 0.03);
}

// Blocks that are kept or dropped: dropping two neighbours is worse than their losses say.
TEST(Evolve, DropsBlocks) {
  Problem problem{{"blocks"}, {}};
  for (int i = 0; i < 16; ++i) {
    problem.parts.push_back(
        {fmt::format("block{}", i), {{"drop", 1 + 0.01 * i, {0}}, {"keep", 0, {1}}}});
  }
  problem.parts[0].fixed = 1;
  const auto loss = [&](std::span<const size_t> chosen, uint64_t, uint64_t) {
    double sum = totals(problem, chosen).loss;
    for (size_t i = 0; i + 1 < chosen.size(); ++i) sum += chosen[i] + chosen[i + 1] == 0 ? 5 : 0;
    return sum;
  };
  const std::vector<Limit> limits = {{"blocks", 11}};
  const Evolved evolved = evolve(problem, limits, loss, {.generations = 60});
  EXPECT_LT(evolved.loss, 6);
  EXPECT_GT(evolved.start_loss, 20);
  EXPECT_EQ(evolved.chosen[0], 1u);
  EXPECT_EQ(evolved.totals.costs[0], 11);
}

// Every offspring is within all limits, whatever its parts cost.
TEST(Evolve, NeverExceedsLimits) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Problem problem =
        testing::random_problem(seed, {.parts = 12, .resources = 2, .whole = false});
    std::vector<Limit> limits;
    for (const std::string& r : problem.resources)
      limits.push_back({r, 1.5 * smallest(problem, r)});
    EvolveOptions options;
    options.generations = 5;
    uint64_t measured = 0;
    const auto loss = [&](std::span<const size_t> chosen, uint64_t, uint64_t) {
      const Totals sums = totals(problem, chosen);
      EXPECT_TRUE(meets(problem, sums, limits));
      ++measured;
      return sums.loss;
    };
    try {
      const Evolved evolved = evolve(problem, limits, loss, options);
      EXPECT_EQ(evolved.evaluations, measured);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kLimit);
    }
  }
}

// Samples grow as the race goes on, and losses are compared on the same round only.
TEST(Evolve, SelectsInStages) {
  const Entangled layers(3);
  const std::vector<Limit> limits = {layers.limit()};
  EvolveOptions options;
  options.offspring = 12;
  options.stages = {{10, 4}, {100, 1}};
  options.generations = 3;
  std::vector<std::pair<uint64_t, uint64_t>> asked;  // round, samples
  const auto loss = [&](std::span<const size_t> chosen, uint64_t samples, uint64_t round) {
    asked.emplace_back(round, samples);
    return layers.loss(chosen);
  };
  const Evolved evolved = evolve(layers.problem, limits, loss, options);
  EXPECT_EQ(evolved.generations, 3u);
  ASSERT_EQ(asked.size(), 1 + 3 * (12 + 5) + 1u);
  EXPECT_EQ(asked.front(), (std::pair<uint64_t, uint64_t>{0, 100}));
  EXPECT_EQ(asked[1], (std::pair<uint64_t, uint64_t>{1, 10}));
  EXPECT_EQ(asked[13], (std::pair<uint64_t, uint64_t>{1, 100}));
  EXPECT_EQ(asked[18], (std::pair<uint64_t, uint64_t>{2, 10}));
  EXPECT_EQ(asked.back(), (std::pair<uint64_t, uint64_t>{0, 100}));
}

// Losses with noise that shrinks with the samples: what is found is still better than the start.
TEST(Evolve, SurvivesNoise) {
  const Entangled layers(5);
  const std::vector<Limit> limits = {layers.limit()};
  const auto noisy = [&](std::span<const size_t> chosen, uint64_t samples, uint64_t round) {
    uint64_t n = round;
    for (const size_t c : chosen) n = n * 3 + c;
    return layers.loss(chosen) * (1 + 0.2 * (random_unit(9, n) - 0.5) / std::sqrt(samples));
  };
  const Evolved evolved = evolve(layers.problem, limits, noisy, {.generations = 60});
  EXPECT_LE(evolved.loss, evolved.start_loss);
  EXPECT_LT(layers.loss(evolved.chosen), 1.1 * layers.least());
}

TEST(Evolve, IsDeterministicFromItsSeed) {
  const Entangled layers(2);
  const std::vector<Limit> limits = {layers.limit()};
  EvolveOptions options;
  options.generations = 2;
  const Evolved a = evolve(layers.problem, limits, layers.measured(), options);
  const Evolved b = evolve(layers.problem, limits, layers.measured(), options);
  EXPECT_EQ(a.chosen, b.chosen);
  EXPECT_EQ(a.evaluations, b.evaluations);
  std::vector<std::vector<size_t>> first(2);
  for (uint64_t seed = 0; seed < 2; ++seed) {
    options.seed = seed;
    const auto loss = [&](std::span<const size_t> chosen, uint64_t, uint64_t) {
      first[seed].insert(first[seed].end(), chosen.begin(), chosen.end());
      return layers.loss(chosen);
    };
    evolve(layers.problem, limits, loss, options);
  }
  EXPECT_NE(first[0], first[1]);
}

TEST(Evolve, StopsAndSaysWhy) {
  const Entangled layers(1);
  const std::vector<Limit> limits = {layers.limit()};
  EvolveOptions options;
  options.evaluations = 200;
  const Evolved few = evolve(layers.problem, limits, layers.measured(), options);
  EXPECT_LE(few.evaluations, 200u);
  EXPECT_GE(few.evaluations, 150u);
  EXPECT_EQ(few.note, "200 evaluations ran out: best so far");
  EXPECT_LE(few.loss, few.start_loss);

  options.evaluations = 1 << 20;
  options.seconds = 0;
  const Evolved none = evolve(layers.problem, limits, layers.measured(), options);
  EXPECT_EQ(none.note, "0 seconds ran out: best so far");
  EXPECT_EQ(none.generations, 0u);
  EXPECT_EQ(none.loss, none.start_loss);

  options.seconds = 1e9;
  options.progress = [](uint64_t done, uint64_t total) { return done < 3 && total == 100; };
  EXPECT_THROW(evolve(layers.problem, limits, layers.measured(), options), Error);
}

TEST(Evolve, EdgesAndRefusals) {
  const Entangled layers(1);
  const std::vector<Limit> limits = {layers.limit()};
  const auto refuses = [&](EvolveOptions options, std::vector<Limit> within) {
    EXPECT_THROW(evolve(layers.problem, within, layers.measured(), options), Error);
  };
  refuses({.stages = {}}, limits);
  refuses({.stages = {{1, 2}}}, limits);
  refuses({.stages = {{0, 1}}}, limits);
  refuses({.offspring = 4}, limits);  // the first stage leaves 8
  refuses({.most_switches = 0}, limits);
  refuses({.start = std::vector<size_t>(10, 2)}, limits);
  refuses({.start = std::vector<size_t>(3, 0)}, limits);
  refuses({}, {{"loss", 1}});
  refuses({}, {{"bytes", 1}});
  refuses({}, {{"ms", 1}});
  EXPECT_THROW(evolve(layers.problem, limits, [](auto, auto, auto) { return std::nan(""); }),
               Error);

  // Nothing to choose: the start, measured once.
  const Problem one{{"bytes"}, {{"p", {{"only", 3, {5}}}}}};
  const auto loss = [](std::span<const size_t>, uint64_t, uint64_t) { return 7.0; };
  const Evolved evolved = evolve(one, {}, loss);
  EXPECT_EQ(evolved.loss, 7);
  EXPECT_EQ(evolved.evaluations, 1u);
  EXPECT_TRUE(evolve({{}, {}}, {}, loss).chosen.empty());

  // Offspring without a number are never chosen.
  const auto brittle = [&](std::span<const size_t> chosen, uint64_t, uint64_t) {
    return chosen[0] == 0 ? std::nan("") : layers.loss(chosen);
  };
  EvolveOptions options;
  options.start = std::vector<size_t>(10, 1);
  EXPECT_NE(evolve(layers.problem, limits, brittle, options).chosen[0], 0u);
}

}  // namespace
}  // namespace pith::budget
