#include "pith/base/float_elements.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

namespace pith {
namespace {

constexpr DType kTypes[] = {DType::kF64,    DType::kF32,    DType::kF16,        DType::kBF16,
                            DType::kF8E4M3, DType::kF8E5M2, DType::kF8E4M3FNUZ, DType::kF8E5M2FNUZ};

float one(DType dtype, ByteView raw) {
  float v = 0;
  floats_from(raw, dtype, false, &v);
  return v;
}

float rounded(DType dtype, float v) {
  Bytes raw(info(dtype).block_bytes);
  elements_from({&v, 1}, dtype, false, raw);
  return one(dtype, raw);
}

TEST(FloatElements, EveryShortElementComesBack) {
  for (const DType dtype : kTypes) {
    const size_t width = info(dtype).block_bytes;
    if (width > 2) continue;
    for (uint32_t code = 0; code < 1u << 8 * width; ++code) {
      Bytes raw(width), again(width);
      std::memcpy(raw.data(), &code, width);
      const float v = one(dtype, raw);
      elements_from({&v, 1}, dtype, false, again);
      if (std::isnan(v)) {
        EXPECT_TRUE(std::isnan(one(dtype, again))) << info(dtype).name << " " << code;
      } else {
        ASSERT_EQ(raw, again) << info(dtype).name << " " << code;
      }
    }
  }
}

TEST(FloatElements, KnownValuesOfEightBits) {
  EXPECT_EQ(one(DType::kF8E4M3, Bytes{0x7E}), 448.0f);
  EXPECT_EQ(one(DType::kF8E4M3, Bytes{0x01}), 0x1p-9f);
  EXPECT_TRUE(std::isnan(one(DType::kF8E4M3, Bytes{0xFF})));
  EXPECT_EQ(one(DType::kF8E5M2, Bytes{0x7B}), 57344.0f);
  EXPECT_EQ(one(DType::kF8E5M2, Bytes{0xFC}), -INFINITY);
  EXPECT_EQ(one(DType::kF8E4M3FNUZ, Bytes{0x7F}), 240.0f);
  EXPECT_EQ(one(DType::kF8E5M2FNUZ, Bytes{0x7F}), 57344.0f);
  EXPECT_TRUE(std::isnan(one(DType::kF8E5M2FNUZ, Bytes{0x80})));
}

TEST(FloatElements, FiniteStaysFiniteAndTheNearestIsTaken) {
  EXPECT_EQ(rounded(DType::kF16, 1e30f), 65504.0f);
  EXPECT_EQ(rounded(DType::kF16, INFINITY), INFINITY);
  EXPECT_EQ(rounded(DType::kBF16, 3.4028235e38f), 0x1.FEp127f);
  EXPECT_EQ(rounded(DType::kF8E4M3, -1e9f), -448.0f);
  EXPECT_EQ(rounded(DType::kF8E4M3, 1.0625f), 1.0f);   // between 1 and 1.125: even
  EXPECT_EQ(rounded(DType::kF8E4M3, 1.1875f), 1.25f);  // between 1.125 and 1.25: even
  EXPECT_EQ(rounded(DType::kF8E4M3, 1.07f), 1.125f);
  EXPECT_TRUE(std::isnan(rounded(DType::kF8E4M3FNUZ, -INFINITY)));
  EXPECT_FALSE(std::signbit(rounded(DType::kF8E4M3FNUZ, -1e-20f)));
  for (const DType dtype : kTypes) EXPECT_TRUE(std::isnan(rounded(dtype, NAN)));
}

TEST(FloatElements, OrderOfBytes) {
  std::mt19937 random(1);
  for (const DType dtype : kTypes) {
    const size_t width = info(dtype).block_bytes;
    std::vector<float> values(33), back(33);
    for (float& v : values) v = rounded(dtype, std::normal_distribution<float>()(random));
    Bytes little(33 * width), big(33 * width);
    elements_from(values, dtype, false, little);
    elements_from(values, dtype, true, big);
    for (size_t i = 0; i < 33; ++i) std::reverse(&big[i * width], &big[i * width] + width);
    EXPECT_EQ(little, big);
    elements_from(values, dtype, true, big);
    floats_from(big, dtype, true, back.data());
    EXPECT_EQ(values, back);
  }
}

TEST(FloatElements, OtherTypesAreRefused) {
  float v = 0;
  EXPECT_FALSE(has_float_elements(DType::kI32));
  EXPECT_THROW(floats_from(Bytes(4), DType::kI32, false, &v), Error);
}

}  // namespace
}  // namespace pith
