// Fourier, cosine and wavelet transforms against their definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "pith/math/dct.h"
#include "pith/math/eigen.h"
#include "pith/math/wavelet.h"

namespace pith::math {
namespace {

constexpr double kPi = std::numbers::pi;
// Powers of two, mixed radices, small and large primes, and multiples of these.
constexpr uint64_t kSizes[] = {0,  1,  2,  3,  4,   5,   8,   12,  15,
                               16, 61, 64, 67, 100, 134, 211, 344, 1000};

std::vector<float> noise(uint64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

TEST(Fourier, IsItsDefinition) {
  for (const uint64_t n : kSizes) {
    const std::vector<float> re = noise(n, 1), im = noise(n, 2);
    std::vector<Complex> x(n);
    for (uint64_t i = 0; i < n; ++i) x[i] = {re[i], im[i]};
    const std::vector<Complex> from = x;
    const Fourier fourier(n);
    fourier.forward(x.data());
    for (uint64_t k = 0; k < n; ++k) {
      Complex sum;
      for (uint64_t j = 0; j < n; ++j) {
        const double angle = -2 * kPi * static_cast<double>(j * k % n) / static_cast<double>(n);
        sum = sum + from[j] * Complex{std::cos(angle), std::sin(angle)};
      }
      EXPECT_NEAR(x[k].re, sum.re, 1e-9) << n;
      EXPECT_NEAR(x[k].im, sum.im, 1e-9) << n;
    }
    fourier.inverse(x.data());
    for (uint64_t i = 0; i < n; ++i) EXPECT_NEAR(x[i].re, from[i].re, 1e-12) << n;
  }
}

TEST(Dct, IsItsDefinitionAndItsInverse) {
  for (const uint64_t n : kSizes) {
    const std::vector<float> from = noise(n, 3);
    std::vector<float> x = from;
    const Dct dct(n);
    dct.forward(x.data());
    for (uint64_t k = 0; k < n; ++k) {
      double sum = 0;
      for (uint64_t j = 0; j < n; ++j)
        sum += from[j] *
               std::cos(kPi * static_cast<double>((2 * j + 1) * k) / (2 * static_cast<double>(n)));
      EXPECT_NEAR(x[k], sum * std::sqrt((k == 0 ? 1.0 : 2.0) / static_cast<double>(n)), 1e-5) << n;
    }
    dct.inverse(x.data());
    for (uint64_t i = 0; i < n; ++i) EXPECT_NEAR(x[i], from[i], 1e-5) << n;
  }
}

double norm(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += double{x} * x;
  return std::sqrt(sum);
}

TEST(Wavelet, KeepsLengthsAndComesBack) {
  for (const Wavelet w : {Wavelet::kHaar, Wavelet::kDaubechies4}) {
    for (const uint64_t n : kSizes) {
      for (const int levels : {0, 1, 2, wavelet_levels(n)}) {
        const std::vector<float> from = noise(n, 4);
        std::vector<float> x = from;
        wavelet_forward(w, levels, x.data(), n);
        EXPECT_NEAR(norm(x), norm(from), 1e-5 * (1 + norm(from)));
        if (levels > 0 && n > 1) {
          EXPECT_NE(x, from);
        }
        wavelet_inverse(w, levels, x.data(), n);
        for (uint64_t i = 0; i < n; ++i) EXPECT_NEAR(x[i], from[i], 1e-5) << n;
      }
    }
  }
}

TEST(Wavelet, SmoothVectorsHaveNoDetails) {
  std::vector<float> flat(64, 3), line(64);
  for (size_t i = 0; i < 64; ++i) line[i] = static_cast<float>(i);
  wavelet_forward(Wavelet::kHaar, wavelet_levels(64), flat.data(), 64);
  EXPECT_NEAR(flat[0], 3 * 8, 1e-5);
  for (size_t i = 1; i < 64; ++i) EXPECT_NEAR(flat[i], 0, 1e-5);
  // Daubechies-4 has two vanishing moments: of a straight line only the jump at the end remains.
  wavelet_forward(Wavelet::kDaubechies4, 1, line.data(), 64);
  for (size_t i = 32; i < 63; ++i) EXPECT_NEAR(line[i], 0, 1e-4);
}

TEST(Wavelet, Levels) {
  EXPECT_EQ(wavelet_levels(0), 0);
  EXPECT_EQ(wavelet_levels(1), 0);
  EXPECT_EQ(wavelet_levels(2), 1);
  EXPECT_EQ(wavelet_levels(1024), 10);
  EXPECT_EQ(wavelet_levels(1025), 11);
}

TEST(SymmetricEigen, FindsTheAxes) {
  constexpr uint64_t kSize = 20;
  const std::vector<float> a = noise(7 * kSize, 5);
  const std::vector<float> g = gram(a.data(), 7, kSize, kSize);
  const SymmetricEigen e = symmetric_eigen(g.data(), kSize);
  for (uint64_t k = 1; k < kSize; ++k) EXPECT_LE(e.values[k], e.values[k - 1]);
  EXPECT_NEAR(e.values[7], 0, 1e-4);  // of rank 7
  for (uint64_t i = 0; i < kSize; ++i) {
    for (uint64_t j = 0; j < kSize; ++j) {
      double back = 0, dot = 0;
      for (uint64_t k = 0; k < kSize; ++k) {
        back += double{e.values[k]} * e.vectors[k * kSize + i] * e.vectors[k * kSize + j];
        dot += double{e.vectors[i * kSize + k]} * e.vectors[j * kSize + k];
      }
      EXPECT_NEAR(back, g[i * kSize + j], 1e-4);
      EXPECT_NEAR(dot, i == j, 1e-5);
    }
  }
  const std::vector<float> inverted = inverse(e.vectors.data(), kSize);
  for (uint64_t i = 0; i < kSize; ++i) {
    for (uint64_t j = 0; j < kSize; ++j)
      EXPECT_NEAR(inverted[i * kSize + j], e.vectors[j * kSize + i], 1e-5);
  }
}

}  // namespace
}  // namespace pith::math
