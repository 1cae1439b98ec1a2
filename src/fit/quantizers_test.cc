#include "pith/fit/quantizers.h"

#include <gtest/gtest.h>

#include <cmath>

#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;

Task task_of(const Matrix& w, const Metric& inputs, std::span<const double> outputs = {}) {
  return {"w", w.view(), inputs, outputs, 1};
}

// A few channels are much larger than the others, as a language model's are.
Matrix with_large_channels(uint64_t tokens, uint64_t channels, uint32_t seed) {
  Matrix x = noise({tokens, channels}, seed);
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 3; c < channels; c += 50) x.row(t)[c] *= 30;
  }
  return x;
}

TEST(Quantizers, FeedbackIsBetterThanImportanceAndThisThanNone) {
  const Matrix w = noise({48, 256}, 1, 0.02f);
  const Metric inputs = metric_of(correlated(2000, 256, 10));
  std::vector<double> outputs(48, 0.5);
  const Task task = task_of(w, inputs, outputs);
  for (const char* text : {"uniform(3, group=32)", "ggml(q4_K)"}) {
    const double nearest = nearest_fitter(parse(text))(task).error;
    const double important = importance_fitter(parse(text))(task).error;
    const Fitted fed = feedback_fitter(parse(text))(task);
    EXPECT_LT(important, nearest) << text;
    EXPECT_LT(fed.error, 0.7 * important) << text;
    EXPECT_EQ(form::to_string(fed.form->expression()), form::to_string(parse(text)));
    const double wanted = error(task, decode(*fed.form).view());
    EXPECT_NEAR(fed.error, wanted, 1e-9 * wanted);
  }
}

TEST(Quantizers, FactorsAreThoseOfTheInputsAtHand) {
  const Matrix w = noise({48, 64}, 1, 0.02f);
  const Fitter shared = feedback_fitter(parse("uniform(3, group=32)"));
  for (uint32_t seed = 0; seed < 4; ++seed) {
    const Metric inputs = metric_of(correlated(500, 64, 10 * seed));
    for (int again = 0; again < 2; ++again) {
      const Fitted own = feedback_fitter(parse("uniform(3, group=32)"))(task_of(w, inputs));
      EXPECT_EQ(write(*shared(task_of(w, inputs)).form), write(*own.form));
    }
  }
}

TEST(ColumnScales, MakeColumnsFinerWhoseInputsAreLarge) {
  const Matrix w = noise({64, 256}, 2, 0.02f);
  const Metric seen = metric_of(with_large_channels(1000, 256, 20)),
               other = metric_of(with_large_channels(300, 256, 30));
  const auto nearest = nearest_fitter(parse("uniform(3, group=128, zero=true)"));
  const Fitted fitted = column_scaled(nearest, nearest)(task_of(w, seen));
  EXPECT_EQ(form::to_string(fitted.form->expression()), "scale | uniform(3, group=128, zero=true)");
  EXPECT_LT(error_of(other, w, *fitted.form),
            0.9 * error_of(other, w, *nearest(task_of(w, seen)).form));
  EXPECT_NEAR(fitted.error, error_of(seen, w, *fitted.form), 1e-3 * fitted.error);
}

TEST(ColumnScales, AreLeftOutWhereTheyGainNothing) {
  const Matrix w = noise({16, 64}, 3, 0.02f);
  const auto nearest = nearest_fitter(parse("uniform(4, group=32)"));
  for (const Metric& inputs : {Metric(), Metric::diagonal(std::vector<double>(64, 3.0)),
                               Metric::diagonal(std::vector<double>(64, 0.0))}) {
    const Fitted fitted = column_scaled(nearest, nearest)(task_of(w, inputs));
    EXPECT_EQ(fitted.form->kind(), "uniform");
  }
}

TEST(ColumnScales, StayInRangeForAnySizes) {
  std::vector<double> importance(64, 1e-30);
  importance[0] = 1e30;
  importance[1] = 0;
  const Metric inputs = Metric::diagonal(importance);
  for (const float s : column_scales(inputs, 64, 1)) {
    EXPECT_TRUE(std::isfinite(s));
    EXPECT_GT(s, 0);
  }
  EXPECT_EQ(column_scales(inputs, 64, 1)[1], 1);
  const Matrix w = noise({5, 64}, 4);
  const auto nearest = nearest_fitter(parse("uniform(4, group=32)"));
  EXPECT_LE(column_scaled(nearest, nearest)(task_of(w, inputs)).error,
            nearest(task_of(w, inputs)).error);
}

TEST(Quantizers, SurviveOddShapesAndRefuseWhatIsNoNumber) {
  const auto nearest = nearest_fitter(parse("uniform(4, group=32)"));
  for (const Fitter& fitter :
       {nearest, importance_fitter(parse("uniform(4, group=32)")),
        feedback_fitter(parse("uniform(4, group=32)")), column_scaled(nearest, nearest)}) {
    for (const form::Shape shape : {form::Shape{1, 1}, {0, 7}, {1, 50}, {9, 1}}) {
      const Matrix w = noise(shape, 5);
      const Metric inputs = metric_of(noise({3, shape.cols}, 6));
      EXPECT_EQ(fitter(task_of(w, inputs)).form->shape(), shape);
    }
    Matrix w = noise({2, 8}, 7);
    w.values[9] = NAN;
    EXPECT_EQ(refusal([&] { fitter(task_of(w, Metric())); }), "w: row 1, column 1 is nan");
    EXPECT_NE(refusal([&] {
                fitter(task_of(noise({2, 8}, 7), Metric::diagonal(std::vector<double>(7))));
              }),
              "");
  }
}

}  // namespace
}  // namespace pith::fit
