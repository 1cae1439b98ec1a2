// GGML's blocks by error feedback and descent.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/fit/feedback.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;

constexpr const char* kTypes[] = {"ggml(q4_0)", "ggml(q4_1)", "ggml(q5_0)",   "ggml(q5_1)",
                                  "ggml(q8_0)", "ggml(q2_K)", "ggml(q3_K)",   "ggml(q4_K)",
                                  "ggml(q5_K)", "ggml(q6_K)", "ggml(iq4_nl)", "ggml(iq4_xs)"};

ErrorFeedback::Result fitted(const char* type, const Matrix& w, const Metric& metric,
                             FeedbackOptions options = {}) {
  return ErrorFeedback(metric, options).encode(parse(type), w.view());
}

TEST(BlockFeedback, IsRoundToNearestWithoutAMetric) {
  const Matrix w = noise({37, 512}, 1, 0.02f);
  for (const char* type : kTypes) {
    EXPECT_EQ(write(*fitted(type, w, Metric()).form), write(*encode(parse(type), w.view())))
        << type;
  }
}

// Errors are those of other tokens than the metric has seen.
TEST(BlockFeedback, LeavesLessErrorThanRoundToNearestOnCorrelatedInputs) {
  const Matrix w = noise({70, 512}, 1, 0.02f);
  const Metric seen = metric_of(correlated(4000, 512, 10)),
               other = metric_of(correlated(500, 512, 20));
  for (const char* type : kTypes) {
    const double nearest = error_of(other, w, *encode(parse(type), w.view()));
    for (const ColumnOrder order : {ColumnOrder::kNatural, ColumnOrder::kActivation}) {
      const double fed = error_of(other, w, *fitted(type, w, seen, {order, 0.01, 1, 0}).form);
      EXPECT_LT(fed, 0.6 * nearest) << type;
      const double descended = error_of(other, w, *fitted(type, w, seen, {order, 0.01, 1, 4}).form);
      EXPECT_LT(descended, fed) << type;
    }
  }
}

TEST(BlockFeedback, TellsTheErrorThatTheMetricFinds) {
  const Matrix w = noise({70, 256}, 2, 0.02f);
  const Metric metric = metric_of(correlated(1000, 256, 10));
  for (const char* type : kTypes) {
    for (const int sweeps : {0, 3}) {
      const auto result = fitted(type, w, metric, {ColumnOrder::kNatural, 0, 1, sweeps});
      const double wanted = error_of(metric, w, *result.form);
      EXPECT_NEAR(result.error, wanted, 2e-3 * wanted) << type << sweeps;
    }
  }
}

TEST(BlockFeedback, SeesWhatColumnsMatterWithoutCorrelations) {
  const Matrix w = noise({64, 256}, 3, 0.02f);
  std::vector<double> importance(256);
  for (size_t c = 0; c < 256; ++c) importance[c] = c % 9 == 0 ? 50 : 1;
  const Metric metric = Metric::diagonal(importance);
  for (const char* type : kTypes) {
    EXPECT_LT(error_of(metric, w, *fitted(type, w, metric).form),
              0.99 * error_of(metric, w, *encode(parse(type), w.view())))
        << type;
  }
}

TEST(BlockFeedback, IsTheSameForAnyNumberOfThreads) {
  const Matrix w = noise({150, 256}, 4, 0.02f);
  const Metric metric = metric_of(correlated(600, 256, 10));
  for (const char* type : {"ggml(q4_K)", "ggml(q4_0)", "ggml(q6_K)"}) {
    const Bytes one = write(*fitted(type, w, metric, {ColumnOrder::kNatural, 0.01, 1}).form);
    EXPECT_EQ(write(*fitted(type, w, metric, {ColumnOrder::kNatural, 0.01, 5}).form), one) << type;
  }
}

TEST(BlockFeedback, SurvivesSingularMetricsAndDeadChannels) {
  const Matrix w = noise({3, 256}, 5, 0.02f);
  Matrix x = correlated(5, 256, 10);
  for (uint64_t t = 0; t < 5; ++t) {
    for (uint64_t c = 0; c < 256; c += 3) x.row(t)[c] = 0;
  }
  Matrix none({4, 256});
  for (const Metric& metric : {metric_of(x), metric_of(none)}) {
    for (const char* type : kTypes) {
      const auto result = fitted(type, w, metric, {ColumnOrder::kNatural, 0, 1});
      const Matrix decoded = decode(*result.form);
      for (const float v : decoded.values) ASSERT_TRUE(std::isfinite(v)) << type;
      EXPECT_LE(error_of(metric, w, *result.form),
                error_of(metric, w, *encode(parse(type), w.view())) + 1e-12)
          << type;
    }
  }
  EXPECT_EQ(fitted("ggml(q4_K)", Matrix({0, 256}), metric_of(x)).form->shape().rows, 0u);
}

TEST(BlockFeedback, RefusesWhatItCannotFit) {
  const Metric metric = metric_of(correlated(600, 256, 10));
  Matrix w = noise({2, 256}, 6);
  EXPECT_NE(refusal([&] { fitted("ggml(mxfp4)", w, metric); }), "");
  EXPECT_NE(refusal([&] { fitted("ggml(q4_K)", noise({2, 128}, 1), metric); }), "");
  w.values[3] = INFINITY;
  EXPECT_NE(refusal([&] { fitted("ggml(q4_K)", w, metric); }), "");
}

}  // namespace
}  // namespace pith::fit
