#include "pith/entropy/bitpack.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace pith::entropy {
namespace {

template <class T>
class Bitpack : public testing::Test {};
using Elements = testing::Types<uint8_t, uint16_t, uint32_t>;
TYPED_TEST_SUITE(Bitpack, Elements);

TYPED_TEST(Bitpack, EveryWidthAndLength) {
  using T = TypeParam;
  std::mt19937_64 random(1);
  for (unsigned bits = 1; bits <= std::numeric_limits<T>::digits; ++bits) {
    const auto mask = static_cast<T>((uint64_t{1} << bits) - 1);
    for (const size_t n : {0u, 1u, 7u, 8u, 255u, 256u, 257u, 1000u, 2048u}) {
      std::vector<T> values(n), back(n);
      for (T& v : values) v = static_cast<T>(random());
      Bytes packed(bitpack_bytes(n, bits), 0xFF);
      EXPECT_EQ(packed.size(), (n * bits + 7) / 8);
      bitpack<T>(values, bits, packed);
      bitunpack<T>(packed, bits, std::span<T>(back));
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(back[i], static_cast<T>(values[i] & mask)) << bits;
    }
  }
}

TYPED_TEST(Bitpack, LayoutIsAsDocumented) {
  using T = TypeParam;
  std::vector<T> values(256 + 9);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i * 5 % 8);
  Bytes packed(bitpack_bytes(values.size(), 3));
  bitpack<T>(values, 3, packed);
  const auto bit = [&](size_t byte, size_t b) { return packed[byte] >> b & 1; };
  for (size_t i = 0; i < 256; ++i) {
    for (size_t b = 0; b < 3; ++b) {
      const size_t at = i / 32 * 3 + b;  // bit of column i % 32
      EXPECT_EQ(bit(32 * (at / 8) + i % 32, at % 8), values[i] >> b & 1);
    }
  }
  for (size_t at = 0; at < 27; ++at) {
    EXPECT_EQ(bit(96 + at / 8, at % 8), values[256 + at / 3] >> at % 3 & 1);
  }
}

TYPED_TEST(Bitpack, WrongSizesAreRefused) {
  using T = TypeParam;
  std::vector<T> values(10);
  Bytes packed(5);
  EXPECT_THROW(bitpack<T>(values, 0, packed), Error);
  EXPECT_THROW(bitpack<T>(values, 33, packed), Error);
  EXPECT_THROW(bitpack<T>(values, 3, packed), Error);
  EXPECT_THROW(bitunpack<T>(packed, 5, std::span<T>(values)), Error);
  EXPECT_THROW(bitpack_bytes(std::numeric_limits<size_t>::max(), 32), Error);
}

}  // namespace
}  // namespace pith::entropy
