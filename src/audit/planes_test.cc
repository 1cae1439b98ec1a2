#include "pith/audit/planes.h"

#include <gtest/gtest.h>

namespace pith::audit {
namespace {

TEST(FloatLimits, CountsWhatTheBitsSay) {
  // Two exponents equally often, all mantissas equally often in each, signs always plus.
  std::vector<uint16_t> v;
  for (int repeat = 0; repeat < 64; ++repeat) {
    for (uint16_t m = 0; m < 128; ++m) {
      v.push_back(static_cast<uint16_t>(0x3F80 | m));
      v.push_back(static_cast<uint16_t>(0x3F00 | m));
    }
  }
  const FloatLimits l =
      float_limits({reinterpret_cast<const uint8_t*>(v.data()), 2 * v.size()}, DType::kBF16);
  EXPECT_EQ(l.elements, v.size());
  EXPECT_DOUBLE_EQ(l.sign, 0);
  EXPECT_DOUBLE_EQ(l.exponent, 1);
  EXPECT_NEAR(l.mantissa_given_exponent, 7, 1e-12);
  EXPECT_NEAR(l.exponent_blocks, 1 + 32.0 / static_cast<double>(v.size()), 1e-12);
}

TEST(FloatLimits, EmptyAndWrongTypes) {
  EXPECT_EQ(float_limits({}, DType::kF32).elements, 0u);
  EXPECT_THROW(float_limits({}, DType::kI8), Error);
}

TEST(PlaneEntropies, MostSignificantFirst) {
  const Bytes raw = {0, 7, 1, 7, 2, 7, 3, 7};
  EXPECT_EQ(plane_entropies(raw, 2), (std::vector<double>{0, 2}));
}

}  // namespace
}  // namespace pith::audit
