#include "pith/math/threshold_clusters.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pith::math {
namespace {

std::vector<float> around(const std::vector<float>& centers, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> draw(-spread, spread);
  std::vector<float> out;
  for (int i = 0; i < 200; ++i) {
    for (const float c : centers) out.push_back(c + draw(random));
  }
  return out;
}

TEST(ThresholdClusters, FindAsManyAsThereAre) {
  const std::vector<float> centers = {-3, -1, 0, 2.5, 4};
  for (const float spread : {0.0f, 0.05f, 0.2f}) {
    const auto found = threshold_clusters(around(centers, spread, 1), 0.4);
    ASSERT_EQ(found.size(), centers.size()) << spread;
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], centers[i], 0.05);
  }
  // What is nearer than the distance becomes one.
  EXPECT_EQ(threshold_clusters(around({1, 1.2f}, 0.05f, 2), 0.4).size(), 1u);
}

TEST(ThresholdClusters, NoneIsFartherThanTheDistance) {
  std::mt19937 random(3);
  std::normal_distribution<float> draw;
  std::vector<float> values(5000);
  for (float& v : values) v = draw(random);
  size_t before = values.size();
  for (const double distance : {0.05, 0.2, 0.5, 1.0}) {
    const auto found = threshold_clusters(values, distance);
    EXPECT_LT(found.size(), before);
    before = found.size();
    for (const float v : values) {
      double least = INFINITY;
      for (const float c : found) least = std::min(least, std::fabs(double{v} - c));
      EXPECT_LE(least, 1.01 * distance);
    }
  }
}

TEST(ThresholdClusters, FewValuesAndNoMoreThanAllowed) {
  EXPECT_TRUE(threshold_clusters({}, 1).empty());
  const std::vector<float> one = {2}, alike(50, 3.0f);
  EXPECT_EQ(threshold_clusters(one, 1e-9), one);
  EXPECT_EQ(threshold_clusters(alike, 1e-9), std::vector<float>{3});
  std::vector<float> many;
  for (int i = 0; i < 1000; ++i) many.push_back(static_cast<float>(i));
  EXPECT_LE(threshold_clusters(many, 0.1, {.rounds = 30, .most = 16}).size(), 16u);
}

}  // namespace
}  // namespace pith::math
