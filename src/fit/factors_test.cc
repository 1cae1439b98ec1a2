#include "pith/fit/factors.h"

#include <gtest/gtest.h>

#include "pith/fit/masks.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::parse;
using form::Shape;

// Rows that are sums of a few sparse ones.
Matrix mixed(Shape shape, uint32_t seed) {
  const uint64_t k = std::max<uint64_t>(1, std::min(shape.rows, shape.cols) / 2);
  const Matrix a = noise({shape.rows, k}, seed), b = noise({k, shape.cols}, seed + 1, 0.02f);
  Matrix w = noise(shape, seed + 2, 0.004f);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t i = 0; i < k; ++i) {
      for (uint64_t c = (i * 7) % 4; c < shape.cols; c += 4) {
        w.row(r)[c] += a.view().row(r)[i] * b.view().row(i)[c];
      }
    }
  }
  return w;
}

TEST(Factors, LeaveLessErrorThanThePlainFit) {
  const Matrix w = mixed({48, 64}, 1);
  const Metric seen = metric_of(correlated(2000, 64, 10)),
               other = metric_of(correlated(500, 64, 20));
  for (const char* text : {"dense(f16) * rank(24) * sparse(30%)", "dense(f16) * sparse(25%)",
                           "dense(f16) * rank(32) * sparse(2:4)"}) {
    const Fitted fitted = factor_fitter(parse(text))({"w", w.view(), seen, {}, 1});
    const auto plain = encode(parse(text), w.view());
    EXPECT_EQ(fitted.form->expression(), plain->expression());
    EXPECT_LT(error_of(other, w, *fitted.form), 0.6 * error_of(other, w, *plain)) << text;
    EXPECT_NEAR(fitted.error, error_of(seen, w, *fitted.form), 1e-6 * fitted.error);
  }
}

TEST(Factors, AnyShapeSingularAndDead) {
  for (const Shape shape : {Shape{1, 1}, {1, 20}, {20, 1}, {10, 12}, {0, 4}}) {
    const Matrix w = noise(shape, 5, 0.02f);
    const Metric few = metric_of(correlated(2, shape.cols, 6));
    const Metric nothing = Metric::diagonal(std::vector<double>(shape.cols, 0.0));
    const Metric squared;
    for (const Metric* metric : {&few, &nothing, &squared}) {
      for (const char* text : {"dense(f16) * sparse(50%)", "dense(f32) * rank(3) * sparse(0%)",
                               "dense(f16) * rank(2) * sparse(1:2)"}) {
        const auto plain = encode(parse(text), w.view());
        const Fitted f = factor_fitter(parse(text))({"w", w.view(), *metric, {}, 1});
        EXPECT_EQ(f.form->shape(), shape);
        EXPECT_LE(f.error, error_of(*metric, w, *plain)) << text;
      }
    }
  }
}

TEST(Factors, RefuseOtherProducts) {
  for (const char* text : {"dense(f16)", "dense(f16) * dense(f16)", "sparse(50%) * dense(f16)",
                           "dense(f16) * rank(2) * sparse(50%) * dense(f16)"}) {
    EXPECT_NE(refusal([&] { factor_fitter(parse(text)); }), "") << text;
  }
  Matrix w = noise({4, 6}, 2);
  w.row(1)[0] = NAN;
  const Metric metric;
  EXPECT_EQ(refusal([&] {
              factor_fitter(parse("dense(f16) * sparse(50%)"))({"w", w.view(), metric, {}, 1});
            }),
            "w: row 1, column 0 is nan");
}

}  // namespace
}  // namespace pith::fit
