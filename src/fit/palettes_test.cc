#include "pith/fit/palettes.h"

#include <gtest/gtest.h>

#include "pith/form/vector_fit.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

TEST(SoftPalettes, TrainingLosesLessThanKMeans) {
  const Matrix w = noise({64, 96}, 1, 0.02f);
  const Metric seen = metric_of(correlated(2000, 96, 10)),
               other = metric_of(correlated(2000, 96, 20));
  const Task task{"w", w.view(), seen, {}, 1};
  for (const uint64_t entries : {4, 8}) {
    const Fitted trained = soft_palette_fitter({.entries = entries})(task);
    const Fitted untrained = soft_palette_fitter({.entries = entries, .steps = 0})(task);
    const auto plain = encode(parse(fmt::format("codebook({})", entries)), w.view());
    EXPECT_EQ(trained.form->expression(), plain->expression());
    EXPECT_EQ(bits(*trained.form), bits(*plain));
    EXPECT_NEAR(trained.error, error_of(seen, w, *trained.form), 1e-6 * trained.error);
    EXPECT_LT(error_of(other, w, *untrained.form), 1.02 * error_of(other, w, *plain));
    EXPECT_LT(error_of(other, w, *trained.form), 0.7 * error_of(other, w, *untrained.form));
  }
}

TEST(SoftPalettes, AnyShapeAndMetric) {
  for (const Shape shape : {Shape{1, 1}, {1, 20}, {20, 1}, {7, 12}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f), nothing(shape);
    const Metric few = metric_of(correlated(2, shape.cols, 6)), squared;
    const std::vector<double> outputs(shape.rows, 0.5);
    for (const Metric* metric : {&few, &squared}) {
      for (const Matrix* m : {&w, &nothing}) {
        const auto plain = encode(parse("codebook(4)"), m->view());
        const Fitted f =
            soft_palette_fitter({.entries = 4, .steps = 3})({"w", m->view(), *metric, outputs, 1});
        EXPECT_EQ(f.form->shape(), shape);
        EXPECT_LE(f.error, 1.001 * 0.5 * error_of(*metric, *m, *plain) + 1e-12);
      }
    }
  }
}

TEST(ThresholdPalettes, FindTheirNumberOfEntries) {
  Matrix w = noise({40, 50}, 2, 0.001f);
  for (uint64_t i = 0; i < w.values.size(); ++i) w.values[i] += static_cast<float>(i % 5) - 2;
  const Metric metric;
  const Fitted f = threshold_palette_fitter(0.1)({"w", w.view(), metric, {}, 1});
  EXPECT_EQ(to_string(f.form->expression()), "codebook(5)");
  EXPECT_LT(f.error, 0.01);
  const Matrix zeros({3, 4}), none({0, 4});
  EXPECT_EQ(threshold_palette_fitter(0.1)({"w", zeros.view(), metric, {}, 1}).error, 0);
  EXPECT_EQ(threshold_palette_fitter(0.1)({"w", none.view(), metric, {}, 1}).error, 0);
}

TEST(Palettes, RefuseWhatCannotBe) {
  EXPECT_NE(refusal([] { soft_palette_fitter({.entries = 1}); }), "");
  EXPECT_NE(refusal([] { soft_palette_fitter({.rate = 0}); }), "");
  EXPECT_NE(refusal([] { soft_palette_fitter({.temperature = -1}); }), "");
  EXPECT_NE(refusal([] { threshold_palette_fitter(0); }), "");
  Matrix w = noise({4, 6}, 2);
  w.row(1)[0] = NAN;
  const Metric metric;
  EXPECT_EQ(refusal([&] {
              soft_palette_fitter({})({"w", w.view(), metric, {}, 1});
            }),
            "w: row 1, column 0 is nan");
}

}  // namespace
}  // namespace pith::fit
