#include "pith/math/matrix_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "../base/testing_targets.h"
#include "pith/base/error.h"

namespace pith::math {
namespace {

std::vector<float> noise(uint64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

double at(const StridedMatrix& m, uint64_t r, uint64_t c) {
  return m.data[r * m.row_stride + c * m.col_stride];
}

constexpr float kUntouched = 1234.5F;

// c with a gap behind each row.
std::vector<float> product(const StridedMatrix& a, const StridedMatrix& b, ProductInto into,
                           int threads = 1) {
  const uint64_t stride = b.cols + 3;
  std::vector<float> c(a.rows * stride, kUntouched);
  for (uint64_t r = 0; r < a.rows; ++r) {
    for (uint64_t j = 0; j < b.cols; ++j) c[r * stride + j] = static_cast<float>(r) - 0.5F;
  }
  matrix_product(a, b, c.data(), stride, into, threads);
  return c;
}

void expect_product(const StridedMatrix& a, const StridedMatrix& b) {
  for (const ProductInto into : {ProductInto::kReplace, ProductInto::kAdd}) {
    const std::vector<float> c = product(a, b, into);
    for (uint64_t r = 0; r < a.rows; ++r) {
      for (uint64_t j = 0; j < b.cols; ++j) {
        double sum = into == ProductInto::kAdd ? static_cast<double>(r) - 0.5 : 0, size = 1;
        for (uint64_t t = 0; t < a.cols; ++t) {
          sum += at(a, r, t) * at(b, t, j);
          size += std::fabs(at(a, r, t) * at(b, t, j));
        }
        ASSERT_NEAR(c[r * (b.cols + 3) + j], sum, 1e-6 * (size + std::fabs(sum)))
            << a.rows << " x " << a.cols << " x " << b.cols << " at " << r << ", " << j;
      }
      for (uint64_t j = b.cols; j < b.cols + 3; ++j) {
        ASSERT_EQ(c[r * (b.cols + 3) + j], kUntouched);
      }
    }
  }
}

TEST(MatrixProduct, IsTheProductForEveryShapeAndLayout) {
  const uint64_t shapes[][3] = {{1, 1, 1},     {12, 1, 32},   {13, 5, 33},    {11, 257, 31},
                                {24, 256, 64}, {7, 600, 100}, {200, 30, 530}, {3, 2, 1000}};
  for (const auto& [rows, inner, cols] : shapes) {
    const std::vector<float> a = noise(rows * inner, 1), b = noise(inner * cols, 2);
    const StridedMatrix plain_a = row_major(a.data(), rows, inner);
    const StridedMatrix turned_a = row_major(a.data(), inner, rows).transposed();
    const StridedMatrix plain_b = row_major(b.data(), inner, cols);
    const StridedMatrix turned_b = row_major(b.data(), cols, inner).transposed();
    expect_product(plain_a, plain_b);
    expect_product(plain_a, turned_b);
    expect_product(turned_a, plain_b);
    expect_product(turned_a, turned_b);
  }
}

TEST(MatrixProduct, OfDoublesIsTheProduct) {
  const uint64_t shapes[][3] = {{1, 1, 1}, {13, 5, 17}, {24, 256, 32}, {7, 600, 100}};
  for (const auto& [rows, inner, cols] : shapes) {
    const std::vector<float> some = noise(rows * inner, 1), others = noise(inner * cols, 2);
    const std::vector<double> a(some.begin(), some.end()), b(others.begin(), others.end());
    std::vector<double> wanted(rows * cols, 0.5);
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t t = 0; t < inner; ++t) {
        for (uint64_t j = 0; j < cols; ++j) {
          wanted[r * cols + j] += a[r * inner + t] * b[t * cols + j];
        }
      }
    }
    const StridedDoubles left = row_major(a.data(), rows, inner);
    const StridedDoubles right = row_major(b.data(), inner, cols);
    for_each_target([&] {
      std::vector<double> c(rows * cols, 0.5);
      matrix_product(left, right, c.data(), cols, ProductInto::kAdd, 2);
      for (uint64_t i = 0; i < c.size(); ++i) ASSERT_NEAR(c[i], wanted[i], 1e-12);
      matrix_product(left, right, c.data(), cols, ProductInto::kSubtract);
      for (uint64_t i = 0; i < c.size(); ++i) ASSERT_NEAR(c[i], 0.5, 1e-12);
      matrix_product(left, right, c.data(), cols);
      for (uint64_t i = 0; i < c.size(); ++i) ASSERT_NEAR(c[i], wanted[i] - 0.5, 1e-12);
    });
  }
}

TEST(MatrixProduct, TakesPartsOfMatrices) {
  const std::vector<float> a = noise(50 * 40, 3), b = noise(60 * 70, 4);
  expect_product({a.data() + 7, 20, 25, 40, 1}, {b.data() + 5, 25, 33, 70, 2});
  expect_product({a.data(), 16, 10, 80, 3}, {b.data(), 10, 20, 70, 1});
}

TEST(MatrixProduct, OfNothingIsNothingOrZeros) {
  const std::vector<float> some(10, 1.0F);
  EXPECT_TRUE(
      product({some.data(), 0, 5, 5}, {some.data(), 5, 2, 2}, ProductInto::kReplace).empty());
  const std::vector<float> narrow =
      product({some.data(), 2, 5, 5}, {some.data(), 5, 0, 0}, ProductInto::kReplace);
  EXPECT_EQ(narrow, std::vector<float>(6, kUntouched));
  expect_product({nullptr, 3, 0, 0}, {nullptr, 0, 4, 4});
}

// Sizes above what is copied at a time.
TEST(MatrixProduct, IsTheSameOnAllThreadsAndInstructionSets) {
  const uint64_t rows = 4100, inner = 270, cols = 70;
  const std::vector<float> a = noise(rows * inner, 5), b = noise(inner * cols, 6);
  const StridedMatrix left = row_major(a.data(), rows, inner);
  const StridedMatrix right = row_major(b.data(), cols, inner).transposed();
  const std::vector<float> tall = product(left, right, ProductInto::kAdd);
  const std::vector<float> wide = product(right.transposed(), left.transposed(), ProductInto::kAdd);
  for_each_target([&] {
    EXPECT_EQ(product(left, right, ProductInto::kAdd, 2), tall);
    EXPECT_EQ(product(right.transposed(), left.transposed(), ProductInto::kAdd, 3), wide);
  });
  // Each element is its own sum, wherever it lies.
  const std::vector<float> some =
      product({a.data() + 4090 * inner, 5, inner, inner}, right, ProductInto::kReplace);
  const std::vector<float> all = product(left, right, ProductInto::kReplace);
  for (uint64_t j = 0; j < cols; ++j) EXPECT_EQ(some[j], all[4090 * (cols + 3) + j]);
}

TEST(MatrixProduct, KeepsWhatIsNoNumberInItsRowAndColumn) {
  std::vector<float> a = noise(20 * 8, 7), b = noise(8 * 40, 8);
  a[3 * 8 + 1] = std::numeric_limits<float>::quiet_NaN();
  b[2 * 40 + 35] = std::numeric_limits<float>::infinity();
  const std::vector<float> c =
      product(row_major(a.data(), 20, 8), row_major(b.data(), 8, 40), ProductInto::kReplace);
  for (uint64_t r = 0; r < 20; ++r) {
    for (uint64_t j = 0; j < 40; ++j) {
      EXPECT_EQ(std::isfinite(c[r * 43 + j]), r != 3 && j != 35) << r << ", " << j;
    }
  }
}

TEST(MatrixProduct, RefusesWhatDoesNotFit) {
  const std::vector<float> x(100);
  std::vector<float> c(100);
  EXPECT_THROW(matrix_product(row_major(x.data(), 2, 3), row_major(x.data(), 4, 2), c.data(), 2),
               Error);
  EXPECT_THROW(matrix_product(row_major(x.data(), 2, 3), row_major(x.data(), 3, 5), c.data(), 4),
               Error);
}

}  // namespace
}  // namespace pith::math
