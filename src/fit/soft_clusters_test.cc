#include "pith/fit/soft_clusters.h"

#include <gtest/gtest.h>

#include <numeric>

#include "pith/base/half.h"
#include "pith/math/kmeans.h"
#include "testing.h"

namespace pith::fit {
namespace {

// As a layer of 16-bit weights has them.
std::vector<float> weights(uint64_t n, uint32_t seed) {
  form::Matrix m = noise({1, n}, seed, 0.05f);
  for (float& v : m.values) v = float_from_bf16(bf16_from_float(v));
  return m.values;
}

std::vector<double> start(const std::vector<float>& w, uint64_t k) {
  const auto c = math::kmeans_1d(w, {}, k);
  return {c.begin(), c.end()};
}

double loss(const std::vector<float>& values, const std::vector<float>& slopes) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += values[i] * slopes[i] + 0.5 * std::sin(20.0 * values[i]);
  }
  return sum;
}

std::vector<float> slopes_of(const std::vector<float>& values, const std::vector<float>& slopes) {
  std::vector<float> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    out[i] = slopes[i] + static_cast<float>(10 * std::cos(20.0 * values[i]));
  }
  return out;
}

TEST(SoftClusters, GradientsAreThoseOfFiniteDifferences) {
  std::vector<float> w = weights(60, 1);
  w[5] = w[6] = w[7];  // equal ones, too
  const auto centers = start(w, 4);
  const auto slopes = noise({1, 60}, 2).values;
  for (const int rounds : {0, 1, 4}) {
    for (const double temperature : {1e-4, 1e-3}) {
      const SoftClusterOptions options{
          .temperature = temperature, .rounds = rounds, .enough = 0, .unique = false};
      const SoftClusters at(w, centers, options);
      const auto gradient = at.gradient(slopes_of(at.values(), slopes));
      EXPECT_EQ(at.rounds(), rounds);
      double most = 0;
      for (const float g : gradient) most = std::max(most, std::fabs(double{g}));
      for (const size_t i : {0, 5, 6, 13, 40, 59}) {
        constexpr float kStep = 1e-4f;
        std::vector<float> up = w, down = w;
        up[i] += kStep;
        down[i] -= kStep;
        const double wanted = (loss(SoftClusters(up, centers, options).values(), slopes) -
                               loss(SoftClusters(down, centers, options).values(), slopes)) /
                              (double{up[i]} - down[i]);
        EXPECT_NEAR(gradient[i], wanted, 5e-3 * most) << rounds << " " << temperature;
      }
    }
  }
}

TEST(SoftClusters, OfDifferentValuesAreThoseOfAllWithTenthOfTheBytes) {
  const std::vector<float> w = weights(1 << 16, 3);
  const auto centers = start(w, 8);
  const SoftClusters few(w, centers, {.temperature = 2e-5}),
      all(w, centers, {.temperature = 2e-5, .unique = false});
  ASSERT_EQ(few.rounds(), all.rounds());
  EXPECT_GT(few.rounds(), 1);
  const auto a = few.values(), b = all.values();
  const auto slopes = noise({1, w.size()}, 4).values;
  const auto ga = few.gradient(slopes), gb = all.gradient(slopes);
  double most = 0;
  for (const float g : gb) most = std::max(most, std::fabs(double{g}));
  for (size_t i = 0; i < w.size(); ++i) {
    ASSERT_NEAR(a[i], b[i], 1e-6);
    ASSERT_NEAR(ga[i], gb[i], 1e-5 * most);
  }
  EXPECT_EQ(few.codes(), all.codes());
  EXPECT_LT(few.different(), w.size() / 8);
  EXPECT_LT(10 * few.saved_bytes(), all.saved_bytes());
  EXPECT_EQ(few.saved_bytes() - few.saved_bytes(8), 2 * w.size() * 7 / 8);
}

TEST(SoftClusters, ColdOnesAreKMeans) {
  const std::vector<float> w = weights(4000, 5);
  const auto centers = start(w, 8);
  const SoftClusters cold(w, centers, {.temperature = 1e-9, .rounds = 20});
  const auto values = cold.values();
  const auto codes = cold.codes();
  for (size_t i = 0; i < w.size(); ++i) {
    double least = INFINITY;
    for (const double c : cold.centroids()) least = std::min(least, std::fabs(w[i] - c));
    EXPECT_NEAR(std::fabs(w[i] - values[i]), least, 1e-5);
    EXPECT_NEAR(values[i], cold.centroids()[codes[i]], 1e-5);
  }
  for (size_t j = 0; j < 8; ++j) EXPECT_NEAR(cold.centroids()[j], centers[j], 2e-3);
}

TEST(SoftClusters, RefuseWhatCannotBe) {
  const std::vector<float> w = {1, 2};
  const std::vector<double> c = {1};
  EXPECT_NE(refusal([&] { SoftClusters(w, {}, {}); }), "");
  EXPECT_NE(refusal([&] { SoftClusters(w, c, {.temperature = 0}); }), "");
  EXPECT_NE(refusal([&] { SoftClusters(w, c).gradient(std::vector<float>{1}); }), "");
  EXPECT_TRUE(SoftClusters({}, c).values().empty());
}

}  // namespace
}  // namespace pith::fit
