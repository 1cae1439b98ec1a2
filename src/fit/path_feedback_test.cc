// Paths through trellises under a metric: beside what encode() finds, and beside other codes.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/fit/expression_fitter.h"
#include "pith/fit/feedback.h"
#include "pith/fit/quantizers.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::encode;
using form::Matrix;
using form::parse;

constexpr const char* kForms[] = {
    "trellis(1, states=64)",
    "trellis(2, states=256)",
    "trellis(3, states=256, group=32)",
    "trellis(2, states=64, group=tensor)",
    "trellis(6, states=1024, scales=f32)",
};

ErrorFeedback::Result fitted(const char* expression, const Matrix& w, const Metric& metric,
                             const FeedbackOptions& options = {}) {
  return ErrorFeedback(metric, options).encode(parse(expression), w.view());
}

TEST(PathFeedback, GainsByCorrelationsAndKeepsTheSize) {
  const Matrix w = noise({70, 200}, 1, 0.02f);
  const Metric metric = metric_of(correlated(1000, 200, 10));
  for (const char* text : kForms) {
    const form::FormPtr plain = encode(parse(text), w.view());
    const auto result = fitted(text, w, metric);
    EXPECT_EQ(form::bits(*result.form), form::bits(*plain)) << text;
    EXPECT_EQ(result.form->expression(), plain->expression()) << text;
    EXPECT_LT(error_of(metric, w, *result.form), 0.15 * error_of(metric, w, *plain)) << text;
  }
}

TEST(PathFeedback, ReportsTheErrorByTheMetric) {
  const Matrix w = noise({20, 150}, 2, 0.02f);
  const Metric metric = metric_of(correlated(800, 150, 10));
  for (const char* text : kForms) {
    const auto result = fitted(text, w, metric, {ColumnOrder::kNatural, 1e-6});
    const double error = error_of(metric, w, *result.form);
    EXPECT_NEAR(result.error, error, 0.01 * error) << text;
  }
}

// At as many bits, paths leave less of the same metric's error than vectors, feedback for both.
TEST(PathFeedback, PathsLeaveLessThanVectors) {
  const Matrix w = noise({32, 256}, 4, 0.02f);
  Matrix x = noise({1000, 256}, 20);
  for (uint64_t t = 0; t < 1000; ++t) {
    for (uint64_t c = 1; c < 256; ++c) x.row(t)[c] += 0.8f * x.row(t)[c - 1];
  }
  const Metric metric = metric_of(x);
  const auto error = [&](const char* text) {
    const Fitter inner = feedback_fitter(parse(text), {ColumnOrder::kNatural, 1e-3});
    return in_basis(parse("hadamard"), inner)({"w", w.view(), metric, {}, 1}).error;
  };
  EXPECT_LT(error("trellis(2, states=1024)"), 0.92 * error("lattice(e8, 2)"));
  EXPECT_LT(error("trellis(3, states=1024)"), 0.65 * error("uniform(3, group=row, grid=gaussian)"));
}

TEST(PathFeedback, FindsFormsBehindBases) {
  const Matrix w = noise({16, 64}, 4, 0.02f);
  const Metric metric = metric_of(correlated(400, 64, 10));
  const Task task{"w", w.view(), metric, {}, 1};
  for (const char* text : {"hadamard | trellis(2, states=64)", "scale | hadamard | trellis(1)"}) {
    const Fitted ours = expression_fitter(parse(text))(task);
    EXPECT_EQ(ours.form->expression(), encode(parse(text), w.view())->expression());
    EXPECT_LT(ours.error, 0.5 * nearest_fitter(parse(text))(task).error) << text;
  }
}

TEST(PathFeedback, WeighsElementsByTheirColumns) {
  const Matrix w = noise({30, 160}, 5, 0.02f);
  std::vector<double> columns(160);
  for (uint64_t c = 0; c < 160; ++c) columns[c] = c % 4 == 0 ? 30 : 1;
  const Task task{"w", w.view(), Metric::diagonal(columns), {}, 1};
  const auto e = parse("trellis(2, states=256)");
  EXPECT_LT(importance_fitter(e)(task).error, 0.75 * nearest_fitter(e)(task).error);
}

TEST(PathFeedback, IsTheSameForAnyNumberOfThreads) {
  const Matrix w = noise({150, 140}, 6, 0.02f);
  const Metric metric = metric_of(correlated(600, 140, 10));
  for (const char* text : kForms) {
    const Bytes one = write(*fitted(text, w, metric, {ColumnOrder::kNatural, 0.01, 1}).form);
    EXPECT_EQ(write(*fitted(text, w, metric, {ColumnOrder::kNatural, 0.01, 5}).form), one) << text;
  }
}

TEST(PathFeedback, IsNeverWorseThanTheNearest) {
  Matrix x = correlated(5, 37, 10);
  for (uint64_t t = 0; t < 5; ++t) {
    for (uint64_t c = 0; c < 37; c += 3) x.row(t)[c] = 0;
  }
  const Metric metrics[] = {metric_of(x), metric_of(Matrix({4, 37})), Metric()};
  for (const form::Shape shape : {form::Shape{1, 37}, form::Shape{3, 37}, form::Shape{0, 37}}) {
    Matrix w = noise(shape, 7, 0.02f);
    if (shape.rows == 3) std::ranges::fill(w.row(1), 0.0f);
    for (const Metric& metric : metrics) {
      for (const char* text : kForms) {
        for (const double damping : {0.0, 0.01}) {
          const Task task{"w", w.view(), metric, {}, 1};
          const Fitted ours = feedback_fitter(parse(text), {ColumnOrder::kNatural, damping})(task);
          EXPECT_LE(ours.error, nearest_fitter(parse(text))(task).error) << text;
          for (const float v : decode(*ours.form).values) ASSERT_TRUE(std::isfinite(v)) << text;
        }
      }
    }
  }
  const Matrix column = noise({9, 1}, 8);
  const Metric one = Metric::diagonal({3});
  for (const char* text : kForms) {
    const Task task{"w", column.view(), one, {}, 1};
    EXPECT_LE(feedback_fitter(parse(text))(task).error, nearest_fitter(parse(text))(task).error);
  }
}

TEST(PathFeedback, RefusesWhatItCannotFit) {
  const Metric metric = metric_of(correlated(600, 16, 10));
  Matrix w = noise({2, 16}, 9);
  EXPECT_NE(refusal([&] { fitted("trellis(2)", w, metric, {ColumnOrder::kActivation}); }), "");
  EXPECT_NE(refusal([&] { fitted("trellis(2)", noise({2, 15}, 1), metric); }), "");
  EXPECT_NE(refusal([&] {
              ErrorFeedback(metric).encode_paths(encode(parse("uniform(2)"), w.view()), w.view());
            }),
            "");
  w.values[3] = INFINITY;
  EXPECT_NE(refusal([&] { fitted("trellis(2)", w, metric); }), "");
}

}  // namespace
}  // namespace pith::fit
