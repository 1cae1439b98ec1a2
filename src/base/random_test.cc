#include "pith/base/random.h"

#include <gtest/gtest.h>

namespace pith {
namespace {

TEST(Random, NumbersOfTheGeneratorThatIsCited) {
  // The sequence of SplitMix64 with seed 1234567.
  static_assert(random_bits(1234567, 0) == 6457827717110365317u);
  static_assert(random_bits(1234567, 1) == 3203168211198807973u);
  static_assert(random_bits(1234567, 4) == 16408922859458223821u);
}

TEST(Random, UnitsFillTheInterval) {
  double sum = 0, least = 1, most = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double u = random_unit(3, static_cast<uint64_t>(i));
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    least = u < least ? u : least;
    most = u > most ? u : most;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.005);
  EXPECT_LT(least, 1e-3);
  EXPECT_GT(most, 1 - 1e-3);
}

}  // namespace
}  // namespace pith
