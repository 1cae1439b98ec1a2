// Codes of several neighbours of a row: beside what encode() finds, and beside scalar codes.
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
    "codebook(16)",
    "codebook(64, dim=3, group=row)",
    "codebook(16, dim=2, rows=16, columns=32, entries=i8)",
    "codebook(32, dim=4, stages=2, fit=additive, group=32)",
    "lattice(e8, 1, group=tensor)",
    "lattice(pyramid, dim=8, bits=3, gain=3)",
};

ErrorFeedback::Result fitted(const char* expression, const Matrix& w, const Metric& metric,
                             const FeedbackOptions& options = {}) {
  return ErrorFeedback(metric, options).encode(parse(expression), w.view());
}

TEST(VectorFeedback, GainsByCorrelationsAndKeepsTheSize) {
  const Matrix w = noise({70, 96}, 1, 0.02f);
  const Metric metric = metric_of(correlated(800, 96, 10));
  for (const char* text : kForms) {
    const form::FormPtr plain = encode(parse(text), w.view());
    const auto result = fitted(text, w, metric);
    EXPECT_EQ(form::bits(*result.form), form::bits(*plain)) << text;
    EXPECT_EQ(result.form->expression(), plain->expression()) << text;
    EXPECT_LT(error_of(metric, w, *result.form), 0.1 * error_of(metric, w, *plain)) << text;
  }
}

TEST(VectorFeedback, ReportsTheErrorByTheMetric) {
  const Matrix w = noise({20, 64}, 2, 0.02f);
  const Metric metric = metric_of(correlated(800, 64, 10));
  for (const char* text : kForms) {
    const auto result = fitted(text, w, metric, {ColumnOrder::kNatural, 1e-6});
    const double error = error_of(metric, w, *result.form);
    EXPECT_NEAR(result.error, error, 0.01 * error) << text;
  }
}

TEST(VectorFeedback, DescentGainsBeyondFeedback) {
  const Matrix w = noise({64, 96}, 3, 0.02f);
  const Metric metric = metric_of(correlated(800, 96, 10));
  for (const char* text : {"codebook(64, dim=3, group=row)", "lattice(e8, 1)"}) {
    const auto without = fitted(text, w, metric, {.sweeps = 0});
    const auto with = fitted(text, w, metric, {.sweeps = 4});
    EXPECT_LT(error_of(metric, w, *with.form), 0.97 * error_of(metric, w, *without.form)) << text;
  }
}

// At as many bits, vectors leave less of the same metric's error than scalars, feedback for both.
TEST(VectorFeedback, VectorsLeaveLessThanScalars) {
  const Matrix w = noise({64, 128}, 4, 0.02f);
  Matrix x = noise({1000, 128}, 20);
  for (uint64_t t = 0; t < 1000; ++t) {
    for (uint64_t c = 1; c < 128; ++c) x.row(t)[c] += 0.8f * x.row(t)[c - 1];
  }
  const Metric metric = metric_of(x);
  const auto error = [&](const char* text) {
    const Fitter inner = feedback_fitter(parse(text), {ColumnOrder::kNatural, 1e-3});
    return in_basis(parse("hadamard"), inner)({"w", w.view(), metric, {}, 1}).error;
  };
  const double scalar = error("uniform(2, group=row, grid=gaussian)");
  EXPECT_LT(error("lattice(e8, 2)"), 0.8 * scalar);
  EXPECT_LT(error("lattice(pyramid, dim=16, bits=2)"), scalar);
}

TEST(VectorFeedback, FindsFormsBehindBases) {
  const Matrix w = noise({16, 32}, 4, 0.02f);
  const Metric metric = metric_of(correlated(300, 32, 10));
  const Task task{"w", w.view(), metric, {}, 1};
  for (const char* text : {"hadamard | lattice(e8, 1)", "scale | hadamard | codebook(4)"}) {
    const Fitted ours = expression_fitter(parse(text))(task);
    EXPECT_EQ(ours.form->expression(), encode(parse(text), w.view())->expression());
    EXPECT_LT(ours.error, 0.5 * nearest_fitter(parse(text))(task).error) << text;
  }
}

// Without correlations it is k-means with a weight for every element.
TEST(VectorFeedback, WeighsElementsByTheirColumnsAndRows) {
  const Matrix w = noise({200, 64}, 5, 0.02f);
  std::vector<double> columns(64), rows(200);
  for (uint64_t c = 0; c < 64; ++c) columns[c] = c % 4 == 0 ? 30 : 1;
  for (uint64_t r = 0; r < 200; ++r) rows[r] = r < 100 ? 20 : 1;
  const Metric metric = Metric::diagonal(columns);
  const form::FormPtr plain = encode(parse("codebook(64, dim=4)"), w.view());
  const ErrorFeedback feedback(metric);
  const auto alike = feedback.encode_vectors(plain, w.view());
  const auto weighted = feedback.encode_vectors(plain, w.view(), rows);
  EXPECT_LT(error_of(metric, w, *alike.form), 0.5 * error_of(metric, w, *plain));
  const auto error = [&](const form::Form& form) {
    return fit::error({"w", w.view(), metric, rows, 1}, form::decode(form).view());
  };
  EXPECT_LT(error(*weighted.form), error(*alike.form));
}

TEST(VectorFeedback, IsTheSameForAnyNumberOfThreads) {
  const Matrix w = noise({150, 64}, 6, 0.02f);
  const Metric metric = metric_of(correlated(600, 64, 10));
  for (const char* text : kForms) {
    const Bytes one = write(*fitted(text, w, metric, {ColumnOrder::kNatural, 0.01, 1}).form);
    EXPECT_EQ(write(*fitted(text, w, metric, {ColumnOrder::kNatural, 0.01, 5}).form), one) << text;
  }
}

TEST(VectorFeedback, IsNeverWorseThanTheNearest) {
  Matrix x = correlated(5, 37, 10);
  for (uint64_t t = 0; t < 5; ++t) {
    for (uint64_t c = 0; c < 37; c += 3) x.row(t)[c] = 0;
  }
  const Metric metrics[] = {metric_of(x), metric_of(Matrix({4, 37})), Metric()};
  for (const form::Shape shape : {form::Shape{1, 37}, form::Shape{3, 37}, form::Shape{0, 37}}) {
    const Matrix w = noise(shape, 7, 0.02f);
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

TEST(VectorFeedback, RefusesWhatItCannotFit) {
  const Metric metric = metric_of(correlated(600, 16, 10));
  Matrix w = noise({2, 16}, 9);
  EXPECT_NE(refusal([&] { fitted("codebook(4)", w, metric, {ColumnOrder::kActivation}); }), "");
  EXPECT_NE(refusal([&] { fitted("codebook(4)", noise({2, 15}, 1), metric); }), "");
  w.values[3] = INFINITY;
  EXPECT_NE(refusal([&] { fitted("codebook(4)", w, metric); }), "");
}

}  // namespace
}  // namespace pith::fit
