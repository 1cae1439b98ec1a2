#include "pith/budget/capacity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/form/form.h"

namespace pith::budget {
namespace {

GaussianScore score(const char* form, form::Shape shape = {64, 1024}) {
  return gaussian_score(form::parse(form), shape);
}

TEST(Capacity, IsTheInverseOfTheRateDistortionFunction) {
  for (const double bits : {0.5, 1.0, 2.0, 7.3}) {
    EXPECT_NEAR(capacity(std::exp2(-2 * bits)), bits, 1e-12);
  }
  EXPECT_EQ(capacity(1), 0);
  EXPECT_EQ(capacity(3), 0);
  EXPECT_TRUE(std::isinf(capacity(0)));
  EXPECT_THROW(capacity(-1), Error);
  EXPECT_THROW(capacity(std::nan("")), Error);
}

// Max (1960): the best quantizers of a Gaussian source to 4 and 16 levels have errors of 0.1175 and
// 0.009497.
TEST(Capacity, OfScalarQuantizers) {
  EXPECT_NEAR(score("uniform(2, group=row, grid=kmeans)").error, 0.1175, 0.003);
  EXPECT_NEAR(score("uniform(4, group=row, grid=kmeans)").error, 0.009497, 0.0004);
}

// No form is above the bound; of one kind more bits are more capacity; forms rank as they are known
// to do on Gaussian data.
TEST(Capacity, RanksForms) {
  double before = 0;
  for (const char* form : {"uniform(2, group=64)", "uniform(3, group=64)", "uniform(4, group=64)",
                           "uniform(6, group=64)", "uniform(8, group=64)"}) {
    const GaussianScore s = score(form);
    EXPECT_GT(s.capacity(), before + 0.8);
    EXPECT_GT(s.excess(), 0);
    EXPECT_GT(s.efficiency(), 0.4);
    EXPECT_LT(s.efficiency(), 1);
    before = s.capacity();
  }
  EXPECT_GT(score("uniform(4, group=64, grid=gaussian)").capacity(),
            score("uniform(4, group=64, grid=positive)").capacity());
  EXPECT_LT(score("uniform(4, group=row) + sparse(2%)").error,
            score("uniform(4, group=row)").error);
}

TEST(Capacity, IsDeterministicAndRefusesNothing) {
  const auto form = form::parse("uniform(3, group=32)");
  EXPECT_EQ(gaussian_score(form, {7, 33}, 5).error, gaussian_score(form, {7, 33}, 5).error);
  EXPECT_NE(gaussian_score(form, {7, 33}, 5).error, gaussian_score(form, {7, 33}, 6).error);
  EXPECT_THROW(gaussian_score(form, {0, 0}), Error);
  EXPECT_THROW(gaussian_score(form::parse("nonsense(3)")), Error);
}

}  // namespace
}  // namespace pith::budget
