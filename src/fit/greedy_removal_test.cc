#include "pith/fit/greedy_removal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "../base/testing_targets.h"
#include "elimination.h"
#include "pith/fit/feedback.h"
#include "pith/fit/masks.h"
#include "pith/math/cholesky.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

Fitted greedily(const char* text, const Matrix& w, const Metric& metric, double damping = 0.01,
                std::span<const double> outputs = {}) {
  return greedy_fitter(parse(text), {damping})({"w", w.view(), metric, outputs, 1});
}

// Each step costs what the best values of those that are left lose by it, and ends there.
TEST(Elimination, EveryStepIsLeastSquares) {
  const uint64_t n = 12;
  const Matrix w = noise({1, n}, 1);
  const Metric metric = metric_of(correlated(200, n, 2));
  std::vector<double> l(metric.matrix().begin(), metric.matrix().end()), inverse(n * n);
  ASSERT_TRUE(math::cholesky(l.data(), n));
  math::inverse_of_factored(l.data(), n, inverse.data());
  const Task task{"w", w.view(), metric, {}, 1};
  for (const uint64_t group : {1, 3, 5}) {
    Elimination e(inverse, n, group);
    e.begin(w.values);
    std::vector<uint8_t> keep(n, 1);
    double spent = 0;
    for (const uint64_t g : {1, 3, 0, 2}) {
      if (g >= e.groups()) continue;
      spent += e.group_cost(g);
      e.remove_group(g);
      for (uint64_t p = g * group; p < std::min(n, (g + 1) * group); ++p) keep[p] = 0;
      const Matrix best = refitted(task, keep, w.view(), {500, 0});
      EXPECT_NEAR(spent, error(task, best.view()), 1e-3 * spent) << group;
      for (uint64_t p = 0; p < n; ++p) {
        EXPECT_NEAR(e.weight(p), best.values[p], 0.05) << group;
        EXPECT_EQ(e.fixed(p), keep[p] == 0);
      }
    }
  }
}

TEST(GreedyRemoval, LeavesLessErrorThanWhatIsFaster) {
  const Matrix w = noise({24, 64}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 64, 10)),
               other = metric_of(correlated(500, 64, 20));
  for (const char* text : {"sparse(50%)", "sparse(2:4)", "uniform(3, group=row)",
                           "sparse(2:4, values=uniform(3, group=row))"}) {
    const Fitted fitted = greedily(text, w, seen);
    const auto plain = encode(parse(text), w.view());
    EXPECT_EQ(fitted.form->expression(), plain->expression());
    const double error = error_of(other, w, *fitted.form);
    EXPECT_LT(error, 0.3 * error_of(other, w, *plain)) << text;
    EXPECT_NEAR(fitted.error, error_of(seen, w, *fitted.form), 1e-9 * fitted.error);
    const auto fed = ErrorFeedback(seen, {.sweeps = 0}).encode(parse(text), w.view());
    // Rounding gains nothing from its order, as GPTQ's authors found too.
    const bool rounds = std::string_view(text).starts_with("uniform");
    EXPECT_LT(error, (rounds ? 2 : 1.15) * error_of(other, w, *fed.form)) << text;
  }
}

TEST(GreedyRemoval, KeepsAsManyAsItIsTold) {
  const Matrix w = noise({20, 40}, 3, 0.02f);
  const Metric metric = metric_of(correlated(300, 40, 4));
  for (const double share : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    const std::string text = fmt::format("sparse({}%)", 100 * share);
    const Matrix got = decode(*greedily(text.c_str(), w, metric).form);
    EXPECT_EQ(std::ranges::count_if(got.values, [](float v) { return v != 0; }),
              static_cast<int64_t>(share * 800));
  }
  const Matrix ratio = decode(*greedily("sparse(3:8)", w, metric).form);
  for (size_t at = 0; at < 800; at += 8) {
    EXPECT_EQ(std::count_if(ratio.values.begin() + static_cast<int64_t>(at),
                            ratio.values.begin() + static_cast<int64_t>(at + 8),
                            [](float v) { return v != 0; }),
              3);
  }
}

TEST(GreedyRemoval, OutputsThatMatterKeepMore) {
  const Matrix w = noise({20, 40}, 3, 0.02f);
  const Metric metric = metric_of(correlated(300, 40, 4));
  std::vector<double> outputs(20, 1.0);
  for (size_t r = 0; r < 10; ++r) outputs[r] = 100;
  const Matrix got = decode(*greedily("sparse(50%)", w, metric, 0.01, outputs).form);
  const auto kept_of = [&](size_t first) {
    return std::count_if(got.values.begin() + static_cast<int64_t>(first),
                         got.values.begin() + static_cast<int64_t>(first + 400),
                         [](float v) { return v != 0; });
  };
  EXPECT_GT(kept_of(0), kept_of(400) + 50);
}

TEST(GreedyRemoval, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 1}, {1, 33}, {33, 1}, {5, 30}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f);
    Matrix x = correlated(4, shape.cols, 6);
    for (uint64_t t = 0; t < 4; ++t) x.row(t)[0] = 0;
    for (const Metric& metric :
         {metric_of(x), Metric(), Metric::diagonal(std::vector<double>(shape.cols, 0.0))}) {
      for (const char* text : {"sparse(50%)", "sparse(2:4)", "sparse(3:1000)", "uniform(4)",
                               "uniform(3, zero=true, group=7)", "uniform(3, group=tensor) > rans",
                               "sparse(50%, values=uniform(4, group=8))"}) {
        const Fitted fitted = greedily(text, w, metric);
        const auto plain = encode(parse(text), w.view());
        EXPECT_EQ(fitted.form->shape(), shape);
        EXPECT_LE(fitted.error, error_of(metric, w, *plain)) << text;
      }
    }
  }
}

TEST(GreedyRemoval, IsTheSameOnAllThreadsAndInstructionSets) {
  const Matrix w = noise({30, 70}, 2, 0.02f);
  const Metric metric = metric_of(correlated(200, 70, 3));
  for (const char* text : {"sparse(50%)", "sparse(2:4, values=uniform(3))", "uniform(3)"}) {
    const Bytes wanted = write(*greedily(text, w, metric).form);
    for_each_target([&] {
      const auto got = greedy_fitter(parse(text))({"w", w.view(), metric, {}, 2});
      EXPECT_EQ(write(*got.form), wanted) << text;
    });
  }
}

TEST(GreedyRemoval, RefusesWhatItCannotFit) {
  Matrix w = noise({4, 6}, 2);
  EXPECT_NE(refusal([] { greedy_fitter(parse("dense(f16)")); }), "");
  EXPECT_NE(refusal([] { greedy_fitter(parse("sparse(5%, pattern=rows)")); }), "");
  const Matrix wide(Shape{1, 5000});
  EXPECT_EQ(refusal([&] { greedily("uniform(3)", wide, Metric()); }),
            "w: one weight at a time takes at most 4096 columns, got 5000");
  w.row(2)[3] = NAN;
  EXPECT_EQ(refusal([&] { greedily("sparse(50%)", w, Metric()); }), "w: row 2, column 3 is nan");
}

}  // namespace
}  // namespace pith::fit
