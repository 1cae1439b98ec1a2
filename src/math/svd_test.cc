#include "pith/math/svd.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace pith::math {
namespace {

std::vector<float> noise(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

std::vector<float> product(const Svd& d, uint64_t rows, uint64_t cols) {
  std::vector<float> out(rows * cols);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t k = 0; k < d.rank; ++k) {
      for (uint64_t c = 0; c < cols; ++c)
        out[r * cols + c] += d.u[r * d.rank + k] * d.s[k] * d.v[k * cols + c];
    }
  }
  return out;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return std::sqrt(sum);
}

TEST(Svd, FullRankGivesTheMatrixBack) {
  for (const auto& [rows, cols] :
       {std::pair<uint64_t, uint64_t>{1, 1}, {1, 7}, {7, 1}, {20, 33}, {33, 20}}) {
    const std::vector<float> a = noise(rows * cols, 1);
    const Svd d = truncated_svd(a.data(), rows, cols, std::min(rows, cols));
    EXPECT_LT(distance(product(d, rows, cols), a),
              1e-4 * std::sqrt(static_cast<double>(rows * cols)));
  }
}

TEST(Svd, FindsALowRankMatrixBeneathNoise) {
  constexpr uint64_t kRows = 500, kCols = 600, kRank = 5;
  Svd truth{kRank, noise(kRows * kRank, 2), std::vector<float>(kRank, 1), noise(kRank * kCols, 3)};
  const std::vector<float> clean = product(truth, kRows, kCols);
  std::vector<float> noisy = clean;
  const std::vector<float> e = noise(noisy.size(), 4);
  for (size_t i = 0; i < noisy.size(); ++i) noisy[i] += 0.1f * e[i];
  const Svd d = truncated_svd(noisy.data(), kRows, kCols, kRank);  // by subspace iteration
  EXPECT_LT(distance(product(d, kRows, kCols), clean),
            0.15 * 0.1 * std::sqrt(static_cast<double>(kRows * kCols)));
  for (size_t k = 1; k < kRank; ++k) EXPECT_GE(d.s[k - 1], d.s[k]);
}

TEST(Svd, RankIsLimitedByTheMatrix) {
  const std::vector<float> a = noise(6, 5);
  EXPECT_EQ(truncated_svd(a.data(), 2, 3, 9).rank, 2u);
  EXPECT_EQ(truncated_svd(a.data(), 0, 3, 9).rank, 0u);
}

}  // namespace
}  // namespace pith::math
