// Products with rows of floats: right, and the same bits however they are cut up.
#include "float_product.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <random>

#include "noise_matrix.h"
#include "pith/base/bytes.h"
#include "pith/base/half.h"
#include "targets_testing.h"

namespace pith::form {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

struct Weights {
  DType type;
  uint64_t rows, cols;
  Bytes bytes;
  FloatRows view() const { return {type, bytes.data(), rows, cols}; }
};

Weights weights(DType type, uint64_t rows, uint64_t cols, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  Weights w{type, rows, cols, {}};
  ByteWriter to(w.bytes);
  for (uint64_t i = 0; i < rows * cols; ++i) {
    const float v = normal(random);
    if (type == DType::kF32) to.u32(std::bit_cast<uint32_t>(v));
    if (type == DType::kF16) to.u16(f16_from_float(v));
    if (type == DType::kBF16) to.u16(bf16_from_float(v));
  }
  return w;
}

Matrix vectors(uint64_t batch, uint64_t cols) { return noise({batch, cols}, 2, 1); }

// out[b * rows + r]
std::vector<float> multiplied(const FloatRows& rows, const Matrix& x) {
  std::vector<float> out(rows.rows * x.shape.rows, -1);
  multiply_floats(rows, x.view(), out.data(), rows.rows);
  return out;
}

// The sum as float_product-inl.h has it.
float reference(const float* w, const float* x, uint64_t n) {
  float s[16] = {};
  for (uint64_t i = 0; i < (n + 15) / 16 * 16; ++i)
    s[i % 16] = i < n ? std::fma(w[i], x[i], s[i % 16]) : s[i % 16] + 0.0f;
  for (int step = 8; step > 0; step /= 2) {
    for (int i = 0; i < step; ++i) s[i] += s[i + step];
  }
  return s[0];
}

TEST(FloatProduct, HasTheSumsOfItsOrderForEveryShapeAndInstructionSet) {
  for (const DType type : kTypes) {
    for (const uint64_t cols : {0, 1, 15, 16, 17, 63, 64, 65, 150, 512, 700, 1040}) {
      const Weights w = weights(type, 23, cols);
      std::vector<float> floats(w.rows * cols);
      floats_of(type, w.bytes.data(), floats.size(), floats.data());
      for (const uint64_t batch : {1, 2, 3, 4, 5, 6, 7, 12, 70}) {
        const Matrix x = vectors(batch, cols);
        for_each_target([&](int64_t target) {
          const std::vector<float> got = multiplied(w.view(), x);
          for (uint64_t b = 0; b < batch; ++b) {
            for (uint64_t r = 0; r < w.rows; ++r) {
              const float want = reference(floats.data() + r * cols, x.view().row(b).data(), cols);
              if (has_fused_products(target)) {
                ASSERT_EQ(got[b * w.rows + r], want) << cols << " " << batch;
              } else {
                ASSERT_NEAR(got[b * w.rows + r], want, 1e-4);
              }
            }
          }
        });
      }
    }
  }
}

TEST(FloatProduct, DoesNotDependOnTheRowsTakenAtATime) {
  for (const DType type : kTypes) {
    const Weights w = weights(type, 37, 333);
    for (const uint64_t batch : {1, 9}) {
      const Matrix x = vectors(batch, w.cols);
      const std::vector<float> all = multiplied(w.view(), x);
      for (const uint64_t step : {1, 3, 16, 17}) {
        std::vector<float> got(all.size());
        for (uint64_t r = 0; r < w.rows; r += step) {
          FloatRows some = w.view();
          some.data += r * w.bytes.size() / w.rows;
          some.rows = std::min(step, w.rows - r);
          multiply_floats(some, x.view(), got.data() + r, w.rows);
        }
        EXPECT_EQ(got, all);
      }
    }
  }
}

TEST(FloatProduct, EveryHalfBecomesItsFloatOnEveryInstructionSet) {
  Bytes all;
  for (uint32_t v = 0; v < 0x10000; ++v) ByteWriter(all).u16(static_cast<uint16_t>(v));
  std::vector<float> got(0x10000);
  for_each_target([&](int64_t) {
    floats_of(DType::kF16, all.data(), got.size(), got.data());
    for (uint32_t v = 0; v < 0x10000; ++v) {
      const float want = float_from_f16(static_cast<uint16_t>(v));
      ASSERT_EQ(std::bit_cast<uint32_t>(got[v]), std::bit_cast<uint32_t>(want));
    }
    floats_of(DType::kBF16, all.data(), got.size(), got.data());
    for (uint32_t v = 0; v < 0x10000; ++v) ASSERT_EQ(std::bit_cast<uint32_t>(got[v]), v << 16);
  });
}

TEST(FloatProduct, InfinitiesAndNaNsStayInTheirRow) {
  Weights w = weights(DType::kBF16, 5, 20);
  store_le<uint16_t>(w.bytes.data() + 2 * (20 + 19), 0x7F80);      // row 1: infinity
  store_le<uint16_t>(w.bytes.data() + 2 * (3 * 20 + 18), 0x7FC1);  // row 3: NaN
  Matrix x = vectors(1, 20);
  x.values[19] = 2;
  const std::vector<float> got = multiplied(w.view(), x);
  EXPECT_TRUE(std::isfinite(got[0]) && std::isfinite(got[2]) && std::isfinite(got[4]));
  EXPECT_EQ(got[1], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(got[3]));
}

}  // namespace
}  // namespace pith::form
