#include "pith/budget/solve.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "random_problem.h"

namespace pith::budget {
namespace {

using testing::bits_problem;
using testing::brute_force;
using testing::Draw;
using testing::random_limit;
using testing::random_problem;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Call>
std::string message_of(ErrorKind kind, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "no error";
}

Options with(Solver solver) {
  Options options;
  options.solver = solver;
  return options;
}

// The solution is within the limits, its sums are those of its choice, and its bound is none of
// the optimum.
void expect_sound(const Problem& problem, const Goal& goal, const Solution& s, double optimum) {
  const Totals sums = totals(problem, s.chosen);
  EXPECT_TRUE(meets(problem, sums, goal.within));
  EXPECT_EQ(sums.loss, s.totals.loss);
  EXPECT_EQ(sums.costs, s.totals.costs);
  EXPECT_EQ(s.value, sums.of(problem, goal.least));
  EXPECT_GE(s.value, optimum * (1 - 1e-12));
  EXPECT_LE(s.bound, optimum * (1 + 1e-9) + 1e-12);
  EXPECT_LE(s.bound, s.value);
}

TEST(Solve, DynamicIsTheOptimumOnWholeCosts) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const Problem problem = random_problem(seed);
    Draw draw{seed + 1000};
    const Goal goal{.within = {random_limit(problem, "r0", draw, true)}};
    const std::optional<double> optimum = brute_force(problem, goal);
    ASSERT_TRUE(optimum);
    const Solution s = solve(problem, goal, with(Solver::kDynamic));
    expect_sound(problem, goal, s, *optimum);
    EXPECT_EQ(s.value, *optimum) << seed;
    EXPECT_TRUE(s.optimal());
  }
}

TEST(Solve, TheFewestBytesWithinALoss) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Problem problem = random_problem(seed);
    Draw draw{seed + 1000};
    const Goal goal{.least = "r0", .within = {random_limit(problem, "loss", draw, true)}};
    const double optimum = *brute_force(problem, goal);
    const Solution s = solve(problem, goal, with(Solver::kDynamic));
    expect_sound(problem, goal, s, optimum);
    EXPECT_EQ(s.value, optimum) << seed;
  }
}

// Costs that are no multiples of anything: what quantization loses is within the stated bound, and
// more bins lose less.
TEST(Solve, DynamicStatesWhatQuantizationLoses) {
  double few = 0, many = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Problem problem = bits_problem(seed, 5);
    for (Part& part : problem.parts) {
      for (Candidate& candidate : part.candidates) candidate.costs[0] *= 0.7;
    }
    Draw draw{seed + 1000};
    const Goal goal{.within = {random_limit(problem, "bytes", draw, false)}};
    const double optimum = *brute_force(problem, goal);
    Options options = with(Solver::kDynamic);
    for (const uint32_t bins : {4u, 5000u}) {
      options.bins = bins;
      const Solution s = solve(problem, goal, options);
      expect_sound(problem, goal, s, optimum);
      (bins == 4 ? few : many) += s.value / optimum - 1;
      if (bins == 5000) {
        EXPECT_LT(s.gap(), 1e-3);
      }
    }
  }
  EXPECT_GT(few, 0);
  EXPECT_LT(many, few / 10);
}

TEST(Solve, DynamicTakesFewerBinsWhereMemoryIsShort) {
  Problem problem = bits_problem(1, 100);
  for (Part& part : problem.parts) part.candidates[0].costs[0] += 0.5;
  const Goal goal{.within = {{"bytes", 1.3 * smallest(problem, "bytes")}}};
  Options options = with(Solver::kDynamic);
  const Solution fine = solve(problem, goal, options);
  EXPECT_NE(fine.note.find("bytes in 10000 steps of "), std::string::npos) << fine.note;
  options.memory = 20 << 10;
  const Solution coarse = solve(problem, goal, options);
  EXPECT_EQ(coarse.note.find("10000 steps"), std::string::npos) << coarse.note;
  EXPECT_GE(coarse.gap(), fine.gap());
  options.memory = 100;
  EXPECT_NE(message_of(ErrorKind::kLimit, [&] { solve(problem, goal, options); })
                .find("parts does not fit 100 bytes"),
            std::string::npos);
}

TEST(Solve, LagrangianAndGreedyAreWithinTheirBound) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Problem problem =
        random_problem(seed, {.resources = 1 + seed % 3, .whole = seed % 2 == 0});
    Draw draw{seed + 1000};
    Goal goal;
    for (const std::string& resource : problem.resources) {
      goal.within.push_back(random_limit(problem, resource, draw, seed % 2 == 0));
    }
    const std::optional<double> optimum = brute_force(problem, goal);
    for (const Solver solver : {Solver::kLagrangian, Solver::kGreedy}) {
      try {
        expect_sound(problem, goal, solve(problem, goal, with(solver)),
                     optimum.value_or(kInfinity));
        EXPECT_TRUE(optimum) << seed;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kLimit) << error.what();
        // What is said to be impossible is.
        EXPECT_FALSE(optimum && std::string(error.what()).find("cannot") != std::string::npos);
      }
    }
  }
}

// With many parts the hull is all there is: the gap is at most one step of one part.
TEST(Solve, LagrangianIsNearTheOptimumOfManyParts) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const Problem problem = bits_problem(seed, 300);
    const double least = smallest(problem, "bytes");
    double before = kInfinity;
    for (const double share : {1.0, 1.1, 1.5, 2.0, 2.7, 4.0}) {
      const Goal goal{.within = {{"bytes", std::floor(share * least)}}};
      const Solution s = solve(problem, goal, with(Solver::kLagrangian));
      EXPECT_LE(s.gap(), 2e-3) << share;
      EXPECT_LE(s.value, before);  // more budget is never worse
      before = s.value;
      EXPECT_LE(s.totals.costs[0], goal.within[0].most);
      const Solution best = solve(problem, goal);
      EXPECT_LE(best.value, s.value);
      EXPECT_GE(best.bound, s.bound);
    }
  }
}

TEST(Solve, MoreBudgetIsNeverWorse) {
  const Problem problem = random_problem(5, {.parts = 30, .most_candidates = 9});
  for (const Solver solver : {Solver::kDynamic, Solver::kAuto}) {
    double before = kInfinity;
    for (double most = smallest(problem, "r0"); most < 600; most += 1) {
      const double value = solve(problem, {.within = {{"r0", most}}}, with(solver)).value;
      EXPECT_LE(value, before);
      before = value;
    }
  }
}

TEST(Solve, EdgesOfProblems) {
  for (const Solver solver :
       {Solver::kAuto, Solver::kDynamic, Solver::kInteger, Solver::kLagrangian, Solver::kGreedy}) {
    const Options options = with(solver);
    const Solution empty = solve({{"bytes"}, {}}, {.within = {{"bytes", 0}}}, options);
    EXPECT_TRUE(empty.chosen.empty());
    EXPECT_EQ(empty.value, 0);
    EXPECT_TRUE(empty.optimal());

    const Problem one{{"bytes"}, {{"p", {{"only", 3, {5}}}}}};
    EXPECT_EQ(solve(one, {.within = {{"bytes", 5}}}, options).chosen, std::vector<size_t>{0});

    // Equal in everything: the first; no limits: the best of each; among equal losses the cheapest
    // where the cost is limited.
    const Problem equal{{"bytes"},
                        {{"p", {{"a", 1, {2}}, {"b", 1, {2}}, {"c", 1, {1}}}},
                         {"q", {{"a", 1, {2}}, {"b", 1, {2}}, {"c", 9, {0}}}}}};
    EXPECT_EQ(solve(equal, {}, options).chosen, (std::vector<size_t>{0, 0}));
    EXPECT_EQ(solve(equal, {.within = {{"bytes", 3}}}, options).chosen,
              (std::vector<size_t>{2, 0}));

    Problem kept = equal;
    kept.parts[1].fixed = 2;
    EXPECT_EQ(solve(kept, {.within = {{"bytes", 100}}}, options).chosen,
              (std::vector<size_t>{0, 2}));

    // Sums as large as doubles go.
    const Problem huge{{"bytes"},
                       {{"p", {{"a", 1e308, {0}}, {"b", 0, {1e308}}}},
                        {"q", {{"a", 5e307, {0}}, {"b", 1e-300, {5e307}}}}}};
    const Solution s = solve(huge, {.within = {{"bytes", 1.2e308}}}, options);
    EXPECT_EQ(s.chosen, (std::vector<size_t>{1, 0}));
  }
}

TEST(Solve, LimitsThatCannotBeMet) {
  Problem problem{{"bytes", "ms"},
                  {{"p", {{"a", 1, {100, 1}}, {"b", 1, {50, 9}}}},
                   {"q", {{"a", 1, {10, 1}}, {"b", 2, {30, 0.5}}}}}};
  EXPECT_EQ(message_of(ErrorKind::kLimit,
                       [&] {
                         solve(problem, {.within = {{"bytes", 59}}});
                       }),
            "bytes: at most 59 cannot be met, the smallest possible is 60");
  EXPECT_EQ(message_of(ErrorKind::kLimit,
                       [&] {
                         solve(problem, {.least = "ms", .within = {{"loss", 1.5}}});
                       }),
            "loss: at most 1.5 cannot be met, the smallest possible is 2");
  const Goal both{.within = {{"bytes", 70}, {"ms", 5}}};
  EXPECT_EQ(message_of(ErrorKind::kLimit, [&] { solve(problem, both); }),
            "bytes at most 70, ms at most 5: cannot be met together; with the other limits as they "
            "are: bytes 110, ms 10");
  problem.parts[0].fixed = 0;
  EXPECT_EQ(
      message_of(ErrorKind::kLimit,
                 [&] {
                   solve(problem, {.within = {{"bytes", 90}}});
                 }),
      "bytes: at most 90 cannot be met, the smallest possible is 110 (100 of it in 1 parts that "
      "are kept)");
}

// Sums of fractions round, in another order otherwise; a limit that is some choice's cost admits it
// all the same.
TEST(Solve, LimitsThatAreTheCostsOfAChoiceAdmitIt) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Problem problem = random_problem(seed, {.resources = 1 + seed % 3, .whole = false});
    Draw draw{seed + 1000};
    std::vector<size_t> chosen;
    for (const Part& part : problem.parts) {
      chosen.push_back(part.fixed.value_or(draw.below(part.candidates.size())));
    }
    const Totals sums = totals(problem, chosen);
    Goal goal;
    for (const std::string& resource : problem.resources) {
      goal.within.push_back({resource, sums.of(problem, resource)});
    }
    const double optimum = *brute_force(problem, goal);
    for (const Solver solver : {Solver::kAuto, Solver::kInteger}) {
      const Solution s = solve(problem, goal, with(solver));
      expect_sound(problem, goal, s, optimum);
      EXPECT_LE(s.value, sums.loss * (1 + 1e-12)) << seed;
      EXPECT_NEAR(s.value, optimum, 1e-4 * optimum) << seed;
    }
  }
}

// Of several limits those that conflict are named, with what each could be instead.
TEST(Solve, ConflictsByName) {
  Problem problem{{"bytes", "ms", "joules"}, {}};
  for (int i = 0; i < 12; ++i) {
    problem.parts.push_back(
        {fmt::format("p{}", i),
         {{"small", 1, {10, 3, 1.0 + i % 2}}, {"fast", 2, {20, 1, 2}}, {"both", 3, {14, 2, 2}}}});
  }
  const Goal goal{.within = {{"joules", 20}, {"bytes", 160}, {"ms", 19}}};
  for (const Solver solver :
       {Solver::kAuto, Solver::kLagrangian, Solver::kInteger, Solver::kGreedy}) {
    EXPECT_EQ(message_of(ErrorKind::kLimit, [&] { solve(problem, goal, with(solver)); }),
              "bytes at most 160, ms at most 19: cannot be met together; with the other limits as "
              "they are: bytes 198, ms 26");
  }
  Goal wider = goal;
  wider.within[1].most = 198;
  wider.within[0].most = 24;
  EXPECT_TRUE(meets(problem, solve(problem, wider).totals, wider.within));
}

TEST(Solve, IntegerIsTheOptimumWithinSeveralLimits) {
  int solved = 0, impossible = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const bool whole = seed % 2 == 0;
    const Problem problem = random_problem(seed, {.resources = 1 + seed % 3, .whole = whole});
    Draw draw{seed + 1000};
    Goal goal;
    for (const std::string& resource : problem.resources) {
      goal.within.push_back(random_limit(problem, resource, draw, whole));
    }
    const std::optional<double> optimum = brute_force(problem, goal);
    if (!optimum) {
      ++impossible;
      const std::string message =
          message_of(ErrorKind::kLimit, [&] { solve(problem, goal, with(Solver::kInteger)); });
      EXPECT_NE(message.find("cannot be met together"), std::string::npos) << message;
      continue;
    }
    ++solved;
    const Solution s = solve(problem, goal, with(Solver::kInteger));
    expect_sound(problem, goal, s, *optimum);
    EXPECT_NEAR(s.value, *optimum, 1e-8 * *optimum) << seed;
    EXPECT_TRUE(s.optimal()) << seed;
    EXPECT_TRUE(s.note.empty());
  }
  EXPECT_GT(solved, 80);
  EXPECT_GT(impossible, 5);
}

// Where both are exact, dynamic programming and the integer program find the same, in problems too
// large for a search through all choices; in either direction.
TEST(Solve, IntegerEqualsDynamic) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const Problem problem = random_problem(seed, {.parts = 60, .most_candidates = 12});
    Draw draw{seed};
    for (const Goal& goal :
         {Goal{.within = {random_limit(problem, "r0", draw, true)}},
          Goal{.least = "r0", .within = {random_limit(problem, "loss", draw, true)}}}) {
      const Solution dynamic = solve(problem, goal, with(Solver::kDynamic));
      const Solution integer = solve(problem, goal, with(Solver::kInteger));
      EXPECT_EQ(dynamic.value, integer.value);
      EXPECT_TRUE(dynamic.optimal() && integer.optimal());
    }
  }
}

// Losses that fall with every cost, each at a pace of its own, and limits in the middle of all:
// hard enough not to end at once.
TEST(Solve, IntegerThatRunsOutSaysSo) {
  Problem problem = bits_problem(3, 40);
  problem.resources = {"bytes", "ms", "joules"};
  Goal goal{.within = {{"bytes", 0}, {"ms", 0}, {"joules", 0}}};
  Draw draw{17};
  for (Part& part : problem.parts) {
    const double ms = draw.unit(), joules = draw.unit();
    for (Candidate& candidate : part.candidates) {
      const double bytes = candidate.costs[0];
      candidate.costs = {bytes, bytes * ms, bytes * joules};
      for (size_t k = 0; k < 3; ++k) goal.within[k].most += 0.8 * candidate.costs[k] / 7;
    }
  }
  Options options = with(Solver::kInteger);
  options.nodes = 3;
  const Solution few = solve(problem, goal, options);
  EXPECT_NE(few.note.find("nodes ran out, best so far, at most"), std::string::npos) << few.note;
  EXPECT_FALSE(few.optimal());
  EXPECT_TRUE(meets(problem, few.totals, goal.within));
  EXPECT_EQ(few.chosen, solve(problem, goal, options).chosen);
  options.nodes = 20000;
  options.seconds = 0;
  const Solution hurried = solve(problem, goal, options);
  EXPECT_NE(hurried.note.find("time ran out, best so far, at most"), std::string::npos)
      << hurried.note;
  EXPECT_TRUE(meets(problem, hurried.totals, goal.within));

  options.seconds = 1e9;
  options.nodes = 300;
  const Solution more = solve(problem, goal, options);
  EXPECT_LE(more.value, few.value);
  EXPECT_GE(more.bound, few.bound);
  options.progress = [](uint64_t nodes, uint64_t total) { return total > 0 || nodes < 2; };
  EXPECT_EQ(message_of(ErrorKind::kIo, [&] { solve(problem, goal, options); }), "interrupted");
}

TEST(Solve, WhatIsRefused) {
  const auto refused = [](ErrorKind kind, double loss, double cost) {
    const Problem problem{{"bytes"}, {{"layers.3.q", {{"a", 1, {1}}, {"b", loss, {cost}}}}}};
    return message_of(kind, [&] { solve(problem, {}); });
  };
  EXPECT_EQ(refused(ErrorKind::kData, std::nan(""), 1),
            "part 'layers.3.q', candidate 1 ('b'): loss is nan, must be finite and not negative");
  EXPECT_NE(refused(ErrorKind::kData, kInfinity, 1).find("loss is inf"), std::string::npos);
  EXPECT_NE(refused(ErrorKind::kData, -1, 1).find("loss is -1"), std::string::npos);
  EXPECT_NE(refused(ErrorKind::kData, 1, -1).find("bytes is -1"), std::string::npos);
  EXPECT_NE(refused(ErrorKind::kData, 1, kInfinity).find("bytes is inf"), std::string::npos);

  const Part good{"p", {{"a", 1, {1}}}};
  const auto problem_error = [](ErrorKind kind, const Problem& problem, const Goal& goal = {}) {
    return message_of(kind, [&] { solve(problem, goal); });
  };
  EXPECT_EQ(problem_error(ErrorKind::kData, {{"bytes"}, {{"p", {}}}}),
            "part 'p' has no candidates");
  EXPECT_EQ(problem_error(ErrorKind::kData, {{"bytes"}, {{"p", {{"a", 1, {}}}}}}),
            "part 'p', candidate 0 ('a'): 0 costs for 1 resources");
  EXPECT_EQ(problem_error(ErrorKind::kData, {{"bytes"}, {{"p", {{"a", 1, {1}}}, 1}}}),
            "part 'p' is fixed at candidate 1 of 1");
  EXPECT_EQ(problem_error(ErrorKind::kData,
                          {{"b"}, {{"p", {{"a", 1e308, {1}}}}, {"q", {{"a", 1e308, {1}}}}}}),
            "loss: the sum over all parts overflows");
  EXPECT_NE(problem_error(ErrorKind::kUsage, {{"b", "b"}, {}}), "no error");
  EXPECT_NE(problem_error(ErrorKind::kUsage, {{"loss"}, {}}), "no error");
  EXPECT_EQ(problem_error(ErrorKind::kUsage, {{"bytes"}, {good}}, {.within = {{"ms", 1}}}),
            "'ms' is no resource of this budget");
  EXPECT_EQ(
      problem_error(ErrorKind::kUsage, {{"bytes"}, {good}}, {.within = {{"bytes", std::nan("")}}}),
      "the limit on bytes is not a number");
  EXPECT_EQ(problem_error(ErrorKind::kUsage, {{"bytes"}, {good}}, {.within = {{"loss", 1}}}),
            "loss is to be the least and has a limit: leave one out");
  EXPECT_THROW(totals({{"bytes"}, {good}}, std::vector<size_t>{1}), Error);
  EXPECT_THROW(totals({{"bytes"}, {good}}, std::vector<size_t>{}), Error);
}

TEST(Solve, CanBeInterrupted) {
  const Problem problem = random_problem(3, {.parts = 20, .resources = 2});
  Goal goal;
  for (const auto& r : problem.resources) goal.within.push_back({r, 1.2 * smallest(problem, r)});
  Options options;
  options.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(message_of(ErrorKind::kIo, [&] { solve(problem, goal, options); }), "interrupted");
  goal.within.pop_back();
  options.solver = Solver::kDynamic;
  EXPECT_EQ(message_of(ErrorKind::kIo, [&] { solve(problem, goal, options); }), "interrupted");
}

TEST(Frontier, EveryPointIsTheOptimumAtItsCost) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const Problem problem = random_problem(seed);
    const Frontier frontier(problem, "r0");
    double slope = kInfinity;
    for (size_t p = 0; p < frontier.points().size(); ++p) {
      const Frontier::Point& point = frontier.points()[p];
      const Totals sums = totals(problem, frontier.chosen(p));
      EXPECT_EQ(sums.costs[0], point.cost);
      EXPECT_NEAR(sums.loss, point.loss, 1e-9);
      EXPECT_LE(point.slope, slope);
      slope = point.slope;
      EXPECT_EQ(sums.loss, *brute_force(problem, {.within = {{"r0", point.cost}}}));
    }
    EXPECT_EQ(frontier.points()[0].cost, smallest(problem, "r0"));
    EXPECT_NEAR(frontier.points().back().loss, smallest(problem, "loss"), 1e-9);
    EXPECT_EQ(frontier.within(1e9), frontier.points().size() - 1);
    EXPECT_EQ(frontier.within(frontier.points()[0].cost + 0.5), 0u);
    EXPECT_THROW((void)frontier.within(frontier.points()[0].cost - 1), Error);
  }
  EXPECT_THROW(Frontier({{"bytes"}, {}}, "loss"), Error);
}

}  // namespace
}  // namespace pith::budget
