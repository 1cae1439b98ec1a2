#include "pith/fit/feedback.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <array>
#include <cmath>

#include "pith/form/uniform_fit.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::parse;
using form::Shape;

form::FormPtr fitted(std::string_view expression, const Matrix& w, const Metric& metric,
                     FeedbackOptions options = {}) {
  options.threads = 1;
  return ErrorFeedback(metric, options).encode(parse(expression), w.view()).form;
}

FeedbackOptions ordered(ColumnOrder order, double damping = 0.01) { return {order, damping, 1, 0}; }

constexpr std::array kOrders = {ColumnOrder::kNatural, ColumnOrder::kActivation};

Metric identity(uint64_t n, double times) {
  std::vector<double> h(n * n);
  for (uint64_t c = 0; c < n; ++c) h[c * n + c] = times;
  return Metric::second_moments(n, std::move(h));
}

TEST(Feedback, IsRoundToNearestWhereInputsAreIndependent) {
  const Matrix w = noise({37, 150}, 1, 0.02f);
  for (const char* text : {"uniform(3)", "uniform(2, group=7)", "uniform(4, group=row, zero=true)",
                           "uniform(4, group=tensor)", "uniform(4, grid=nf4, group=33)",
                           "uniform(3, grid=kmeans)", "uniform(3, group=16, scales=uniform(4))",
                           "uniform(2, group=130) > rans", "uniform(2, scales=f8_e8m0)"}) {
    const Bytes wanted = write(*encode(parse(text), w.view()));
    EXPECT_EQ(write(*fitted(text, w, Metric())), wanted) << text;
    for (const double times : {1e-20, 3.0, 1e20}) {
      for (const ColumnOrder order : kOrders) {
        EXPECT_EQ(write(*fitted(text, w, identity(150, times), ordered(order))), wanted) << text;
      }
    }
  }
}

// Errors are those of other tokens than the metric has seen.
TEST(Feedback, LeavesLessErrorThanRoundToNearestOnCorrelatedInputs) {
  const Matrix w = noise({64, 200}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 200, 10)),
               other = metric_of(correlated(500, 200, 20));
  for (const char* text :
       {"uniform(2)", "uniform(3)", "uniform(4, group=32)", "uniform(3, group=row)",
        "uniform(4, group=200, grid=gaussian)", "uniform(3, group=9, zero=true)"}) {
    const double nearest = error_of(other, w, *encode(parse(text), w.view()));
    for (const ColumnOrder order : kOrders) {
      const double fed = error_of(other, w, *fitted(text, w, seen, ordered(order)));
      EXPECT_LT(fed, 0.5 * nearest) << text;
    }
  }
}

// Codes, and scales where they stand for themselves.
TEST(Feedback, DescentLeavesLessError) {
  const Matrix w = noise({70, 200}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 200, 10)),
               other = metric_of(correlated(500, 200, 20));
  for (const char* text :
       {"uniform(2)", "uniform(4, group=32)", "uniform(3, group=row)", "uniform(3, group=tensor)",
        "uniform(4, group=200, grid=gaussian)", "uniform(3, group=9, zero=true)",
        "uniform(3, group=16, scales=uniform(4))", "uniform(3, group=32, scales=f8_e8m0) > rans"}) {
    for (const ColumnOrder order : kOrders) {
      FeedbackOptions options = ordered(order);
      const double fed = error_of(other, w, *fitted(text, w, seen, options));
      options.sweeps = 3;
      const auto result = ErrorFeedback(seen, options).encode(parse(text), w.view());
      EXPECT_LT(error_of(other, w, *result.form), fed) << text;
      options.damping = 0;
      const auto undamped = ErrorFeedback(seen, options).encode(parse(text), w.view());
      const double wanted = error_of(seen, w, *undamped.form);
      EXPECT_NEAR(undamped.error, wanted, 2e-3 * wanted) << text;
    }
  }
}

TEST(Feedback, TellsTheErrorThatTheMetricFinds) {
  const Matrix w = noise({70, 100}, 1, 0.02f);
  const Metric metric = metric_of(correlated(1000, 100, 10));
  for (const ColumnOrder order : kOrders) {
    const ErrorFeedback feedback(metric, ordered(order, 0));
    EXPECT_EQ(feedback.damping(), 0);
    const auto result = feedback.encode(parse("uniform(3, group=17)"), w.view());
    const double wanted = error_of(metric, w, *result.form);
    EXPECT_NEAR(result.error, wanted, 1e-3 * wanted);
  }
}

// The scales of feedback itself, and all codes that there could be with them.
double best_error(const Metric& metric, const Matrix& w, const form::Form& form) {
  const Matrix decoded = form::decode(form);
  form::UniformFit fit(parse("uniform(2, group=row)"), w.view());
  double sum = 0;
  const uint64_t n = w.shape.cols;
  for (uint64_t r = 0; r < w.shape.rows; ++r) {
    Matrix row({1, n}), values({1, n});
    std::ranges::copy(w.view().row(r), row.values.begin());
    const form::UniformScale scale = fit.fit(row.values);
    double best = INFINITY;
    for (uint64_t all = 0; all < uint64_t{1} << (2 * n); ++all) {
      for (uint64_t c = 0; c < n; ++c) {
        values.values[c] = fit.value(static_cast<uint8_t>(all >> (2 * c) & 3), scale);
      }
      best = std::min(best, error(metric, row.view(), values.view(), 1));
    }
    sum += best;
  }
  return sum;
}

TEST(Feedback, ComesNearTheBestOfAllCodes) {
  double fed = 0, nearest = 0, best = 0;
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const uint64_t n = 2 + seed % 5;
    const Matrix w = noise({3, n}, seed, 0.02f);
    const Metric metric = metric_of(correlated(50, n, 100 + seed));
    const char* text = "uniform(2, group=row, scales=f32)";
    const auto form = fitted(text, w, metric, ordered(ColumnOrder::kActivation));
    const auto rounded = encode(parse(text), w.view());
    fed += error_of(metric, w, *form);
    nearest += error_of(metric, w, *rounded);
    best += best_error(metric, w, *rounded);
  }
  EXPECT_LT(best, nearest);
  EXPECT_LT(fed - best, 0.5 * (nearest - best)) << fed << " " << nearest << " " << best;
}

TEST(Feedback, AnyShape) {
  for (const Shape shape : {Shape{1, 1}, {1, 70}, {70, 1}, {3, 129}, {65, 200}, {16, 128}}) {
    const Matrix w = noise(shape, 2, 0.02f);
    const Metric metric = metric_of(correlated(400, shape.cols, 3));
    for (const char* text :
         {"uniform(3)", "uniform(3, group=5)", "uniform(3, group=row)", "uniform(3, group=150)",
          "uniform(3, group=1000)", "uniform(3, group=tensor)", "uniform(3, group=128)"}) {
      for (const ColumnOrder order : kOrders) {
        const auto form = fitted(text, w, metric, ordered(order));
        const auto rounded = encode(parse(text), w.view());
        EXPECT_EQ(form->expression(), rounded->expression());
        EXPECT_EQ(form::bits(*form), form::bits(*rounded));
        EXPECT_LE(error_of(metric, w, *form), 1.01 * error_of(metric, w, *rounded))
            << text << " " << shape.rows << " x " << shape.cols;
      }
    }
  }
  const Matrix none(Shape{0, 5});
  EXPECT_EQ(fitted("uniform(3)", none, identity(5, 1))->shape(), none.shape);
}

TEST(Feedback, ChannelsThatWereAlwaysZero) {
  Matrix x = correlated(400, 80, 3);
  for (uint64_t t = 0; t < 400; ++t) x.row(t)[0] = x.row(t)[41] = x.row(t)[79] = 0;
  const Matrix w = noise({20, 80}, 2, 0.02f);
  const Metric metric = metric_of(x);
  for (const ColumnOrder order : kOrders) {
    const auto form = fitted("uniform(4, group=16)", w, metric, ordered(order));
    const Matrix got = decode(*form);
    for (uint64_t r = 0; r < 20; ++r) {
      // Other texts may have them: they are rounded as they are.
      for (const uint64_t c : {0, 41, 79}) {
        EXPECT_NEAR(got.view().row(r)[c], w.view().row(r)[c], 0.03f);
      }
    }
    EXPECT_LT(error_of(metric, w, *form),
              error_of(metric, w, *encode(parse("uniform(4, group=16)"), w.view())));
  }
}

TEST(Feedback, FewerTokensThanChannels) {
  const Matrix w = noise({20, 60}, 2, 0.02f);
  for (const uint64_t tokens : {1, 5, 20}) {
    const Metric metric = metric_of(correlated(tokens, 60, 3));
    const double nearest = error_of(metric, w, *encode(parse("uniform(3)"), w.view()));
    for (const ColumnOrder order : kOrders) {
      EXPECT_LT(error_of(metric, w, *fitted("uniform(3)", w, metric, ordered(order))),
                0.2 * nearest);
      // Without damping there is no such factorization.
      const ErrorFeedback feedback(metric, ordered(order, 0));
      EXPECT_GT(feedback.damping(), 0);
      EXPECT_LT(feedback.damping(), 1e-3);
      EXPECT_LT(error_of(metric, w, *feedback.encode(parse("uniform(3)"), w.view()).form), nearest);
    }
  }
}

TEST(Feedback, MatricesThatAreNoSecondMoments) {
  const Matrix w = noise({5, 2}, 2, 0.02f);
  const ErrorFeedback feedback(Metric::second_moments(2, {1, 5, 5, 1}));
  EXPECT_GT(feedback.damping(), 4);
  EXPECT_TRUE(std::isfinite(feedback.encode(parse("uniform(3)"), w.view()).error));
  const ErrorFeedback crossed(Metric::second_moments(2, {0, 5, 5, 1}),
                              ordered(ColumnOrder::kNatural, 0));
  EXPECT_EQ(decode(*crossed.encode(parse("uniform(3)"), w.view()).form).values,
            decode(*fitted("uniform(3)", w, Metric::diagonal({5e-7, 1}))).values);
}

TEST(Feedback, NothingSeenIsRoundToNearest) {
  const Matrix w = noise({20, 60}, 2, 0.02f);
  const Metric nothing = Metric::second_moments(60, std::vector<double>(3600));
  EXPECT_EQ(write(*fitted("uniform(3)", w, nothing)),
            write(*encode(parse("uniform(3)"), w.view())));
}

TEST(Feedback, ChannelsOfVeryDifferentSizes) {
  Matrix x = correlated(400, 64, 3);
  for (uint64_t t = 0; t < 400; ++t) {
    for (uint64_t c = 0; c < 64; ++c) x.row(t)[c] *= std::exp2(static_cast<float>(c) - 32.0f);
  }
  const Matrix w = noise({20, 64}, 2, 0.02f);
  const Metric metric = metric_of(x);
  for (const ColumnOrder order : kOrders) {
    for (const double damping : {0.0, 0.01}) {
      const auto form = fitted("uniform(3)", w, metric, ordered(order, damping));
      EXPECT_LT(error_of(metric, w, *form),
                error_of(metric, w, *encode(parse("uniform(3)"), w.view())));
    }
  }
}

TEST(Feedback, DiagonalImportanceDecidesScales) {
  Matrix w = noise({20, 64}, 2, 0.02f);
  std::vector<double> importance(64, 1e-3);
  for (size_t c = 0; c < 64; c += 5) importance[c] = 1;
  const Metric metric = Metric::diagonal(importance);
  for (const char* text : {"uniform(2, group=row)", "uniform(2, group=row, grid=gaussian)"}) {
    EXPECT_LT(error_of(metric, w, *fitted(text, w, metric)),
              0.9 * error_of(metric, w, *encode(parse(text), w.view())));
  }
}

TEST(Feedback, IsTheSameOnAllThreadsAndInstructionSets) {
  const Matrix w = noise({150, 300}, 2, 0.02f);
  const Metric metric = metric_of(correlated(600, 300, 3));
  for (const ColumnOrder order : kOrders) {
    const Bytes wanted = write(*fitted("uniform(3, group=50)", w, metric, ordered(order)));
    for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
      hwy::SetSupportedTargetsForTest(left & -left);
      FeedbackOptions options = ordered(order);
      options.threads = 2;
      const ErrorFeedback feedback(metric, options);
      const auto got = feedback.encode(parse("uniform(3, group=50)"), w.view());
      EXPECT_EQ(write(*got.form), wanted) << hwy::TargetName(left & -left);
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(Feedback, RefusesWhatItCannotFit) {
  Matrix w = noise({4, 6}, 2);
  const ErrorFeedback feedback(identity(6, 1));
  EXPECT_EQ(refusal([&] {
              feedback.encode(parse("uniform(3)"), noise({4, 5}, 1).view());
            }),
            "a metric of 6 columns does not fit a matrix of 5");
  EXPECT_NE(refusal([&] {
              feedback.encode(parse("dense(f16)"), w.view());
            }).find("`dense(f16)` is no uniform form"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              feedback.encode(parse("uniform(3) > zip"), w.view());
            }).find("no coder is called `zip`"),
            std::string::npos);
  w.row(2)[3] = NAN;
  EXPECT_NE(refusal([&] { feedback.encode(parse("uniform(3)"), w.view()); }).find("uniform"),
            std::string::npos);
  EXPECT_EQ(refusal([] {
              ErrorFeedback(Metric(), {ColumnOrder::kNatural, -1, 1});
            }),
            "damping must be at least 0, got -1");
  EXPECT_EQ(refusal([] {
              ErrorFeedback(Metric(), {ColumnOrder::kNatural, NAN, 1});
            }),
            "damping must be at least 0, got nan");
}

}  // namespace
}  // namespace pith::fit
