#include "pith/entropy/mixer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pith::entropy {
namespace {

TEST(Mixer, SquashIsTheLogisticFunction) {
  for (int32_t x = -kStretchLimit; x <= kStretchLimit; ++x) {
    EXPECT_NEAR(squash(x), 65536 / (1 + std::exp(-x / 256.0)), 1.6) << x;
  }
  EXPECT_EQ(squash(-1000000), squash(-kStretchLimit));
  EXPECT_LE(squash(1000000), 65535u);
  EXPECT_GE(squash(-1000000), 1u);
}

TEST(Mixer, StretchInvertsSquash) {
  for (uint32_t p = 512; p < 65024; p += 13) {
    EXPECT_NEAR(squash(stretch(p)), p, 16 + 65536.0 / 512) << p;
  }
}

TEST(Mixer, FixedExponentialIsExact) {
  for (uint64_t den : {1u, 2u, 32u, 256u, 2048u}) {
    EXPECT_NEAR(double(exp_minus(1, den)) / double(kFixedOne), std::exp(-1.0 / double(den)), 1e-15);
  }
  EXPECT_EQ(fixed_mul(kFixedOne, kFixedOne), kFixedOne);
}

TEST(Mixer, LearnsWhichInputToTrust) {
  int32_t weights[2] = {32768, 32768};
  uint32_t state = 7, right = 0;
  for (uint32_t i = 0; i < 4000; ++i) {
    state = state * 1664525 + 1013904223;
    const uint32_t bit = state >> 31;
    const int32_t inputs[2] = {bit != 0 ? 500 : -500, (state >> 20 & 1) != 0 ? 900 : -900};
    const uint32_t p = squash(mix(inputs, weights, 2));
    if (i >= 3000) right += (p > 32768) == (bit == 1);
    learn(inputs, weights, 2, bit, p, learning_rate(i));
  }
  EXPECT_EQ(right, 1000u);
  EXPECT_GT(weights[0], 4 * std::abs(weights[1]));
}

TEST(Mixer, WeightsStayBounded) {
  int32_t weight = 0;
  const int32_t input = kStretchLimit;
  for (int i = 0; i < 100000; ++i) learn(&input, &weight, 1, 1, 1, 1023);
  EXPECT_EQ(weight, kWeightLimit);
  EXPECT_EQ(mix(&input, &weight, 1), kStretchLimit);
}

}  // namespace
}  // namespace pith::entropy
