#include "pith/math/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../base/testing_targets.h"

namespace pith::math {
namespace {

using Matrix = std::vector<double>;

Matrix noise(uint64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Matrix x(n);
  for (double& v : x) v = normal(random);
  return x;
}

// xᵀ x + small, of 2 n rows; channels of very different sizes.
Matrix definite(uint64_t n, uint32_t seed, double spread = 1) {
  const Matrix x = noise(2 * n * n, seed);
  Matrix a(n * n);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c <= r; ++c) {
      double sum = r == c ? 0.01 : 0;
      for (uint64_t t = 0; t < 2 * n; ++t) sum += x[t * n + r] * x[t * n + c];
      const double size = std::pow(spread, static_cast<double>(r + c) / static_cast<double>(n));
      a[r * n + c] = a[c * n + r] = sum * size;
    }
  }
  return a;
}

// a bᵀ of the lower triangles.
Matrix lower_square(const Matrix& l, uint64_t n) {
  Matrix a(n * n);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < n; ++c) {
      for (uint64_t i = 0; i <= std::min(r, c); ++i) a[r * n + c] += l[r * n + i] * l[c * n + i];
    }
  }
  return a;
}

constexpr uint64_t kSizes[] = {1, 2, 7, 32, 33, 100, 256, 257, 300};

TEST(Cholesky, GivesTheMatrixBack) {
  for (const uint64_t n : kSizes) {
    for (const double spread : {1.0, 1e-6}) {
      const Matrix a = definite(n, 1, spread);
      Matrix l = a;
      for (uint64_t r = 0; r < n; ++r) {
        for (uint64_t c = r + 1; c < n; ++c) l[r * n + c] = NAN;  // is not read
      }
      ASSERT_TRUE(cholesky(l.data(), n)) << n;
      const Matrix got = lower_square(l, n);
      for (uint64_t r = 0; r < n; ++r) {
        for (uint64_t c = 0; c < n; ++c) {
          ASSERT_NEAR(got[r * n + c], a[r * n + c], 1e-13 * std::sqrt(a[r * n + r] * a[c * n + c]))
              << n;
        }
      }
    }
  }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  const uint64_t n = 300;
  const Matrix a = definite(n, 2);
  for (const uint64_t at : {0, 31, 32, 255, 256, 299}) {
    for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
      Matrix l = a;
      l[at * n + at] = bad;
      EXPECT_FALSE(cholesky(l.data(), n)) << at << " " << bad;
    }
  }
  EXPECT_TRUE(cholesky(nullptr, 0));
}

TEST(Cholesky, DividesByTheFactor) {
  for (const uint64_t n : kSizes) {
    Matrix l = definite(n, 3);
    ASSERT_TRUE(cholesky(l.data(), n));
    const uint64_t rows = 13;
    const Matrix wanted = noise(rows * n, 4);
    Matrix x(rows * n);
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        for (uint64_t i = c; i < n; ++i) x[r * n + c] += wanted[r * n + i] * l[i * n + c];
      }
    }
    divide_by_lower(l.data(), n, x.data(), rows);
    for (uint64_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], wanted[i], 1e-9) << n;
  }
}

TEST(Cholesky, InvertsWhatItFactored) {
  for (const uint64_t n : kSizes) {
    const Matrix a = definite(n, 5);
    Matrix l = a, inverse(n * n);
    ASSERT_TRUE(cholesky(l.data(), n));
    inverse_of_factored(l.data(), n, inverse.data());
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        double sum = 0;
        for (uint64_t i = 0; i < n; ++i) sum += a[r * n + i] * inverse[i * n + c];
        ASSERT_NEAR(sum, r == c ? 1 : 0, 1e-8) << n;
      }
    }
  }
}

TEST(Cholesky, IsTheSameOnAllThreadsAndInstructionSets) {
  const uint64_t n = 600;
  const Matrix a = definite(n, 6);
  Matrix wanted = a, wanted_inverse(n * n);
  ASSERT_TRUE(cholesky(wanted.data(), n));
  inverse_of_factored(wanted.data(), n, wanted_inverse.data());
  for_each_target([&] {
    Matrix l = a, inverse(n * n);
    ASSERT_TRUE(cholesky(l.data(), n, 2));
    inverse_of_factored(l.data(), n, inverse.data(), 3);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c <= r; ++c) ASSERT_EQ(l[r * n + c], wanted[r * n + c]);
    }
    EXPECT_EQ(inverse, wanted_inverse);
  });
}

}  // namespace
}  // namespace pith::math
