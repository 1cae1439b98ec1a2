#include "pith/math/entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>
#include <vector>

namespace pith::math {
namespace {

std::vector<float> normal(size_t n, float scale, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> d(0, scale);
  std::vector<float> out(n);
  for (float& v : out) v = d(random);
  return out;
}

TEST(Entropy, AHistogramOfEquallyManyInEachBinIsFull) {
  std::vector<float> values(1600);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  EXPECT_NEAR(histogram_entropy(values, 16), 4, 1e-9);
  EXPECT_NEAR(histogram_entropy(values, 10), std::log2(10), 1e-9);
}

TEST(Entropy, AHistogramOfOneValueSaysNothing) {
  EXPECT_EQ(histogram_entropy(std::vector<float>(5, 2.5F), 16), 0);
  EXPECT_EQ(histogram_entropy({}, 16), 0);
  const float far[] = {NAN, 1, INFINITY, 1};
  EXPECT_EQ(histogram_entropy(far, 16), 0);
}

// Few large values leave all others in few bins.
TEST(Entropy, AHistogramFallsWithOutliers) {
  std::vector<float> values = normal(4096, 1);
  const double before = histogram_entropy(values, 256);
  values[7] = 100;
  EXPECT_LT(histogram_entropy(values, 256), before - 2);
}

TEST(Entropy, NeighboursFindThatOfANormalDistribution) {
  constexpr uint64_t kCount = 2000, kSize = 3;
  const double wanted = 0.5 * std::log2(2 * std::numbers::pi * std::numbers::e);
  for (const float scale : {0.5F, 1.0F, 8.0F}) {
    const std::vector<float> x = normal(kCount * kSize, scale);
    EXPECT_NEAR(nearest_neighbour_entropy(x.data(), kCount, kSize, 2), wanted + std::log2(scale),
                0.06)
        << scale;
  }
}

TEST(Entropy, NeighboursOfEqualVectorsAreNoError) {
  const std::vector<float> same(40, 1);
  EXPECT_TRUE(std::isfinite(nearest_neighbour_entropy(same.data(), 10, 4)));
  EXPECT_EQ(nearest_neighbour_entropy(same.data(), 1, 4), 0);
}

}  // namespace
}  // namespace pith::math
