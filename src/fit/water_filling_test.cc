#include "pith/fit/water_filling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/fit/expression_fitter.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::Shape;

double bits_of(const Fitted& f) {
  return static_cast<double>(form::bits(*f.form)) / static_cast<double>(f.form->shape().size());
}

TEST(WaterFilling, LosesLessAtAsManyBitsThanOneStepForAllDoes) {
  const Matrix w = noise({192, 96}, 1), x = correlated(600, 96, 2);
  const Metric metric = metric_of(x);
  // Outputs that matter by five orders of magnitude.
  std::vector<double> outputs(192);
  for (size_t r = 0; r < outputs.size(); ++r) outputs[r] = std::pow(10, 5.0 * r / 192);
  const Task task{.name = "w", .weights = w.view(), .inputs = metric, .outputs = outputs};
  WaterFilling filling({.step = 1, .worst_noise = 10, .alike = 0});
  filling.set_step(filling.step_for(task, 3));
  const Fitted filled = filling(task);
  EXPECT_NEAR(bits_of(filled), 3, 0.4);

  const Task plain{.name = "w", .weights = w.view(), .inputs = Metric()};
  WaterFilling even({.step = 1});
  even.set_step(even.step_for(plain, bits_of(filled)));
  const Fitted one_step = even(plain);
  EXPECT_GT(bits_of(one_step), bits_of(filled) - 0.05);
  EXPECT_LT(error(task, form::decode(*filled.form).view()),
            0.05 * error(task, form::decode(*one_step.form).view()));
}

TEST(WaterFilling, ErrorsAreWhatTheStepSays) {
  const Matrix w = noise({256, 64}, 3), x = correlated(600, 64, 4);
  const Metric metric = metric_of(x);
  const Task task{.name = "w", .weights = w.view(), .inputs = metric};
  WaterFilling filling(
      {.step = 1, .expression = form::parse("integer(states=1) > rans"), .alike = 0});
  const double step = filling.step_for(task, 5);
  filling.set_step(step);
  // D is that of the damped metric, so errors by the true one are a little less.
  const double expected = step * step / 12 * 256 * 64, got = filling(task).error;
  EXPECT_GT(got, 0.9 * expected);
  EXPECT_LT(got, 1.1 * expected);
}

TEST(WaterFilling, OutputsAreAsLargeAsTheyWere) {
  const Matrix w = noise({128, 64}, 5), x = correlated(600, 64, 6);
  const Metric metric = metric_of(x);
  const Task task{.name = "w", .weights = w.view(), .inputs = metric};
  WaterFilling filling({.step = 1, .worst_noise = 10});
  filling.set_step(filling.step_for(task, 1));
  const Matrix back = form::decode(*filling(task).form);
  double own = 0, made = 0;
  for (uint64_t t = 0; t < x.shape.rows; ++t) {
    for (uint64_t r = 0; r < w.shape.rows; ++r) {
      double was = 0, is = 0;
      for (uint64_t c = 0; c < w.shape.cols; ++c) {
        was += double{x.view().row(t)[c]} * w.view().row(r)[c];
        is += double{x.view().row(t)[c]} * back.view().row(r)[c];
      }
      own += was * was;
      made += was * is;
    }
  }
  EXPECT_NEAR(made / own, 1, 1e-3);
}

TEST(WaterFilling, IsTheSameOnAnyNumberOfThreads) {
  const Matrix w = noise({200, 70}, 7), x = correlated(300, 70, 8);
  const Metric metric = metric_of(x);
  Bytes first;
  for (const int threads : {1, 2, 5}) {
    const Task task{.name = "w", .weights = w.view(), .inputs = metric, .threads = threads};
    WaterFilling filling({.step = 0.3});
    const Bytes made = form::write(*filling(task).form);
    if (first.empty()) first = made;
    EXPECT_EQ(made, first);
  }
}

TEST(WaterFilling, TakesWhateverShapesAndChannelsThereAre) {
  for (const Shape shape : {Shape{1, 64}, Shape{64, 1}, Shape{1, 1}, Shape{65, 33}}) {
    const Matrix w = noise(shape, 9);
    Matrix x = correlated(100, shape.cols, 10);
    for (uint64_t t = 0; t < 100; ++t) x.row(t)[0] = 0;  // a dead channel
    const Metric metric = metric_of(x);
    WaterFilling filling({.step = 0.01});
    const Task task{.name = "w", .weights = w.view(), .inputs = metric};
    const Fitted fitted = filling(task);
    EXPECT_EQ(fitted.form->shape(), shape);
    for (const float v : form::decode(*fitted.form).values) EXPECT_TRUE(std::isfinite(v));
  }
}

TEST(ExpressionFitter, IsNeverWorseThanTheNearest) {
  const Matrix w = noise({64, 96}, 11), x = correlated(600, 96, 12);
  const Metric metric = metric_of(x);
  const Task task{.name = "w", .weights = w.view(), .inputs = metric};
  for (const char* text : {"uniform(2, group=32)", "uniform(4, group=row)", "uniform(3) > rans",
                           "hadamard | uniform(4)", "sparse(10%)", "ggml(q4_0)"}) {
    const form::Expression expression = form::parse(text);
    const Fitted fitted = expression_fitter(expression)(task);
    const double nearest = error(task, form::decode(*form::encode(expression, w.view())).view());
    EXPECT_LE(fitted.error, nearest * (1 + 1e-9)) << text;
    EXPECT_NEAR(fitted.error, error(task, form::decode(*fitted.form).view()), 1e-6 * nearest);
    if (text[0] == 'u') {
      EXPECT_LT(fitted.error, 0.9 * nearest) << text;
    }
  }
}

TEST(ExpressionFitter, IntegersTakeTheBitsThatTheyAreGiven) {
  const Matrix w = noise({256, 128}, 13), x = correlated(600, 128, 14);
  const Metric metric = metric_of(x);
  const Task task{.name = "w", .weights = w.view(), .inputs = metric};
  for (const double bits : {2.0, 3.5, 6.0}) {
    const auto expression = form::parse(fmt::format("integer(bits={}) > rans", bits));
    const double got = bits_of(expression_fitter(expression)(task));
    EXPECT_LE(got, bits);
    EXPECT_GT(got, bits - 0.05);
  }
}

}  // namespace
}  // namespace pith::fit
