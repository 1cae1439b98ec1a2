#include "pith/base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace pith {
namespace {

TEST(Half, EveryF16IsExactAndComesBack) {
  for (uint32_t v = 0; v < 0x10000; ++v) {
    const auto bits = static_cast<uint16_t>(v);
    const float f = float_from_f16(bits);
    if ((bits & 0x7FFF) > 0x7C00) {
      EXPECT_TRUE(std::isnan(f));
      EXPECT_EQ(f16_from_float(f), bits);
      continue;
    }
    EXPECT_EQ(f, static_cast<float>(std::bit_cast<_Float16>(bits)));
    EXPECT_EQ(f16_from_float(f), bits);
  }
}

TEST(Half, RoundsToNearestEven) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000000; ++i) {
    const float f = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(f)) continue;
    EXPECT_EQ(f16_from_float(f), std::bit_cast<uint16_t>(static_cast<_Float16>(f))) << f;
  }
  // Halfway cases, and the ends of the range.
  for (const float f : {1 + 0x1p-11f, 1 + 0x3p-11f, 65519.0f, 65520.0f, 0x1p-25f, 0x1.8p-25f,
                        0x1p-14f - 0x1p-26f}) {
    EXPECT_EQ(f16_from_float(f), std::bit_cast<uint16_t>(static_cast<_Float16>(f))) << f;
    EXPECT_EQ(f16_from_float(-f), std::bit_cast<uint16_t>(static_cast<_Float16>(-f))) << f;
  }
}

TEST(Half, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(bf16_from_float(1), 0x3F80);
  EXPECT_EQ(bf16_from_float(1 + 0x1p-8f), 0x3F80);
  EXPECT_EQ(bf16_from_float(1 + 0x3p-8f), 0x3F82);
  EXPECT_EQ(bf16_from_float(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(float_from_bf16(bf16_from_float(std::bit_cast<float>(0x7F800001u)))));
  for (uint32_t v = 0; v < 0x10000; ++v) {
    EXPECT_EQ(bf16_from_float(float_from_bf16(static_cast<uint16_t>(v))), v);
  }
}

TEST(Half, NaNsThatDoNotFitStayNaN) {
  for (const uint32_t v : {0x7F800001u, 0xFF801001u, 0x7FFFFFFFu}) {
    EXPECT_GT(f16_from_float(std::bit_cast<float>(v)) & 0x7FFF, 0x7C00);
    EXPECT_TRUE(std::isnan(float_from_bf16(bf16_from_float(std::bit_cast<float>(v)))));
  }
}

}  // namespace
}  // namespace pith
