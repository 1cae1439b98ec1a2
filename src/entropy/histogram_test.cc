#include "pith/entropy/histogram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "entropy_test_data.h"

namespace pith::entropy {
namespace {

TEST(Histogram, CountsEveryByte) {
  for (const size_t n : {0u, 1u, 7u, 8u, 9u, 1000u, 65537u}) {
    const Bytes symbols = geometric(n, n, 256, 0);
    Histogram expected{}, counts;
    counts.fill(77);
    for (const uint8_t s : symbols) ++expected[s];
    histogram(symbols, counts);
    EXPECT_EQ(counts, expected);
  }
}

TEST(Histogram, Entropy) {
  Histogram counts{};
  EXPECT_EQ(entropy_bits(counts), 0);
  counts[3] = 100;
  EXPECT_EQ(entropy_bits(counts), 0);
  counts[4] = 100;
  EXPECT_NEAR(entropy_bits(counts), 200, 1e-9);
}

TEST(Histogram, IntegerLogarithm) {
  EXPECT_EQ(log2_q16(0), 0u);
  for (uint64_t x = 1; x < uint64_t{1} << 32; x += 1 + x / 999) {
    EXPECT_NEAR(log2_q16(static_cast<uint32_t>(x)), std::log2(static_cast<double>(x)) * 65536, 2);
  }
  EXPECT_EQ(log2_q16(1u << 31), 31u << 16);
}

}  // namespace
}  // namespace pith::entropy
