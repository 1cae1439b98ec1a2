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

// Heavy-tailed weights: few elements make the steps of all others coarse.
Matrix heavy_tailed(form::Shape shape, uint32_t seed) {
  Matrix w = noise(shape, seed, 0.02f);
  for (size_t i = 0; i < w.values.size(); i += 97) w.values[i] *= 8;
  return w;
}

TEST(Outliers, CostLessBesideTheCodesThanInThem) {
  const Matrix w = heavy_tailed({64, 256}, 8);
  const Metric seen = metric_of(correlated(2000, 256, 10)),
               other = metric_of(correlated(500, 256, 20));
  for (const char* uniform : {"uniform(3, group=16, scales=uniform(3))",
                              "uniform(3, group=32, zero=true)", "uniform(3, group=row)"}) {
    const std::string sum = std::string(uniform) + " + sparse(1%)";
    for (const int sweeps : {0, 2}) {
      const FeedbackOptions options{.sweeps = sweeps};
      const Fitted alone = feedback_fitter(parse(uniform), options)(task_of(w, seen));
      const Fitted both = feedback_fitter(parse(sum), options)(task_of(w, seen));
      EXPECT_EQ(both.form->expression(), encode(parse(sum), w.view())->expression());
      EXPECT_LT(error_of(other, w, *both.form), 0.7 * error_of(other, w, *alone.form)) << uniform;
      // The largest, chosen without the metric, and what is left of them stored beside.
      EXPECT_LT(error_of(other, w, *both.form),
                0.7 * error_of(other, w, *encode(parse(sum), w.view())))
          << uniform;
    }
  }
}

TEST(Outliers, AreAsManyAsAskedFor) {
  const Matrix w = heavy_tailed({20, 64}, 9);
  for (const char* share : {"0%", "1%", "50%", "100%"}) {
    const auto sum = parse("uniform(2, group=16) + sparse(" + std::string(share) + ")");
    const Metric inputs = metric_of(correlated(500, 64, 10));
    const auto form = ErrorFeedback(inputs).encode(sum, w.view()).form;
    EXPECT_EQ(form->expression(), encode(sum, w.view())->expression());
    EXPECT_EQ(bits(*form), bits(*encode(sum, w.view())));
    if (std::string_view(share) == "100%") {
      EXPECT_LT(error_of(Metric(), w, *form),
                1e-6 * error_of(Metric(), w, *encode(parse("uniform(2, group=16)"), w.view())));
    }
  }
  EXPECT_NE(
      refusal([&] { ErrorFeedback(Metric()).encode(parse("uniform(2) + sparse(2:4)"), w.view()); }),
      "");
  EXPECT_NE(
      refusal([&] { ErrorFeedback(Metric()).encode(parse("uniform(2) + lowrank(1)"), w.view()); }),
      "");
}

TEST(InBasis, OutliersAreSpreadAndFeedbackWorksAsBefore) {
  const Matrix w = heavy_tailed({64, 256}, 8);
  const Metric seen = metric_of(with_large_channels(1000, 256, 20)),
               other = metric_of(with_large_channels(300, 256, 30));
  const auto grid = parse("uniform(3, group=256, grid=gaussian)");
  const Fitted plain = feedback_fitter(grid)(task_of(w, seen));
  const Fitted nearest = in_basis(parse("hadamard"), nearest_fitter(grid))(task_of(w, seen));
  const Fitted turned = in_basis(parse("hadamard"), feedback_fitter(grid))(task_of(w, seen));
  EXPECT_EQ(form::to_string(turned.form->expression()),
            "hadamard | uniform(3, group=256, grid=gaussian)");
  EXPECT_LT(error_of(other, w, *turned.form), error_of(other, w, *plain.form));
  EXPECT_LT(error_of(other, w, *turned.form), 0.5 * error_of(other, w, *nearest.form));
  EXPECT_NEAR(turned.error, error_of(seen, w, *turned.form), 1e-6 * turned.error);
}

TEST(InBasis, TakesEveryKindOfMetric) {
  const Matrix w = noise({9, 64}, 3, 0.02f);
  std::vector<double> importance(64, 1.0);
  importance[5] = 100;
  for (const char* basis : {"hadamard", "hadamard(7)", "scale", "dct", "pca"}) {
    for (const Metric& inputs :
         {Metric(), Metric::diagonal(importance), metric_of(correlated(30, 64, 10))}) {
      const auto fitter = in_basis(parse(basis), feedback_fitter(parse("uniform(4, group=32)")));
      const Fitted fitted = fitter(task_of(w, inputs));
      EXPECT_LT(fitted.error, 0.05 * error(inputs, w.view(), Matrix(w.shape).view())) << basis;
    }
  }
  EXPECT_NE(refusal([&] {
              in_basis(parse("no"), nearest_fitter(parse("uniform(4)")))(task_of(w, Metric()));
            }),
            "");
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
