#include "pith/math/kmeans.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace pith::math {
namespace {

std::vector<float> normal(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> v(n);
  for (float& x : v) x = draw(random);
  return v;
}

double error(const std::vector<float>& points, uint64_t dim, const std::vector<float>& centroids,
             const std::vector<float>& weights = {}) {
  std::vector<uint32_t> codes(points.size() / dim);
  NearestCentroid(centroids, dim)(points, codes.data());
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    sum += (weights.empty() ? 1 : double{weights[i / dim]}) *
           std::pow(double{points[i]} - centroids[codes[i / dim] * dim + i % dim], 2);
  }
  return sum;
}

TEST(NearestCentroid, IsTheNearestOfAll) {
  for (const uint64_t dim : {1, 2, 3, 8, 17}) {
    for (const uint64_t k : {1, 2, 15, 16, 33, 300}) {
      const auto points = normal(61 * dim, 1), centroids = normal(k * dim, 2);
      std::vector<uint32_t> codes(61);
      NearestCentroid(centroids, dim)(points, codes.data());
      const auto distance = [&](uint64_t i, uint64_t c) {
        double sum = 0;
        for (uint64_t d = 0; d < dim; ++d)
          sum += std::pow(double{points[i * dim + d]} - centroids[c * dim + d], 2);
        return sum;
      };
      for (uint64_t i = 0; i < 61; ++i) {
        ASSERT_LT(codes[i], k);
        for (uint64_t c = 0; c < k; ++c) EXPECT_LE(distance(i, codes[i]), distance(i, c) + 1e-4);
      }
    }
  }
}

TEST(NearestCentroid, GivesTheFirstOfEquals) {
  const std::vector<float> centroids = {1, 3, 1, 3, 3, 1}, points = {0, 4, 2};
  std::vector<uint32_t> codes(3);
  NearestCentroid(centroids, 1)(points, codes.data());
  EXPECT_EQ(codes, (std::vector<uint32_t>{0, 1, 0}));
}

TEST(KMeans, FindsClustersThatAreApart) {
  auto points = normal(4000, 3);
  for (size_t i = 0; i < points.size(); i += 2) {
    points[i] = points[i] / 100 + static_cast<float>(i / 2 % 10);
    points[i + 1] = points[i + 1] / 100 - static_cast<float>(i / 2 % 3);
  }
  const auto centroids = kmeans(points, 2, {}, 30);
  EXPECT_LT(error(points, 2, centroids) / 4000, 2e-4);
}

TEST(KMeans, IsTheSameOnEveryThreadCountAndInstructionSet) {
  const auto points = normal(8 * 20000, 4);
  const auto one = kmeans(points, 8, {}, 64, {.seed = 5, .rounds = 6, .threads = 1});
  EXPECT_EQ(kmeans(points, 8, {}, 64, {.seed = 5, .rounds = 6, .threads = 3}), one);
  EXPECT_NE(kmeans(points, 8, {}, 64, {.seed = 6, .rounds = 6, .threads = 3}), one);
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    EXPECT_EQ(kmeans(points, 8, {}, 64, {.seed = 5, .rounds = 6, .threads = 1}), one);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

TEST(KMeans, FewPointsAndNone) {
  EXPECT_EQ(kmeans({}, 3, {}, 2), std::vector<float>(6));
  const std::vector<float> one = {1, 2};
  EXPECT_EQ(kmeans(one, 2, {}, 3), (std::vector<float>{1, 2, 1, 2, 1, 2}));
  const std::vector<float> same(64, 0.5f);
  for (const float c : kmeans(same, 4, {}, 5)) EXPECT_EQ(c, 0.5f);
}

TEST(KMeans, EmptyClustersFindWork) {
  // A heap of equal points and a few others: each of the others is worth a centroid.
  std::vector<float> points(2000, 0);
  for (size_t i = 0; i < 15; ++i) points[i * 2] = static_cast<float>(i + 1) * 10;
  EXPECT_EQ(error(points, 2, kmeans(points, 2, {}, 16)), 0);
}

TEST(KMeans, WeightsPullCentroids) {
  const std::vector<float> points = {0, 0, 1, 0}, weights = {3, 1};
  const auto c = kmeans(points, 2, weights, 1);
  EXPECT_NEAR(c[0], 0.25f, 1e-6);
  EXPECT_NEAR(kmeans_1d(std::vector<float>{0, 1}, weights, 1)[0], 0.25f, 1e-6);
}

TEST(KMeans1d, IsTheBestSplit) {
  // Against all splits of few points.
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const auto points = normal(12, seed);
    auto sorted = points;
    std::ranges::sort(sorted);
    double best = INFINITY;
    for (size_t a = 1; a < 12; ++a) {
      for (size_t b = a + 1; b < 12; ++b) {
        std::vector<float> centroids;
        for (const auto& [from, to] : {std::pair{size_t{0}, a}, {a, b}, {b, size_t{12}}}) {
          double sum = 0;
          for (size_t i = from; i < to; ++i) sum += sorted[i];
          centroids.push_back(static_cast<float>(sum / static_cast<double>(to - from)));
        }
        best = std::min(best, error(points, 1, centroids));
      }
    }
    EXPECT_NEAR(error(points, 1, kmeans_1d(points, {}, 3)), best, 1e-4 * best + 1e-9);
  }
}

TEST(KMeans1d, ReachesTheLloydMaxErrorOfANormalVariable) {
  const auto points = normal(200000, 7);
  // Max 1960: 4, 8 and 16 levels.
  EXPECT_NEAR(error(points, 1, kmeans_1d(points, {}, 4)) / 200000, 0.1175, 0.002);
  EXPECT_NEAR(error(points, 1, kmeans_1d(points, {}, 8)) / 200000, 0.03454, 0.0007);
  EXPECT_NEAR(error(points, 1, kmeans_1d(points, {}, 16)) / 200000, 0.009497, 0.0002);
  EXPECT_LT(error(points, 1, kmeans_1d(points, {}, 1000)) / 200000, 4e-6);
}

TEST(KMeans1d, OddInput) {
  EXPECT_EQ(kmeans_1d({}, {}, 2), std::vector<float>(2));
  EXPECT_EQ(kmeans_1d(std::vector<float>{2}, {}, 3), (std::vector<float>{2, 2, 2}));
  const auto c = kmeans_1d(std::vector<float>(5000, 1.5f), {}, 16);
  EXPECT_EQ(std::set<float>(c.begin(), c.end()), std::set<float>{1.5f});
  const std::vector<float> values = {1, 2, 3}, none = {0, 0, 0};
  EXPECT_EQ(kmeans_1d(values, none, 2).size(), 2u);
}

}  // namespace
}  // namespace pith::math
