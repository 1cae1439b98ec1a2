#include "pith/entropy/histogram.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../base/testing_targets.h"
#include "entropy_test_data.h"

namespace pith::entropy {
namespace {

void expect_counts(const Bytes& symbols) {
  Histogram expected{}, counts;
  counts.fill(77);
  for (const uint8_t s : symbols) ++expected[s];
  histogram(symbols, counts);
  EXPECT_EQ(counts, expected);
}

TEST(Histogram, CountsEveryByte) {
  for (const size_t n : {0u, 1u, 7u, 8u, 9u, 1000u, 65537u}) {
    expect_counts(geometric(n, n, 256, 0));
  }
}

TEST(Histogram, FewSymbolsOnEveryTarget) {
  for (const size_t n : {4095u, 4096u, 4097u, 16319u, 16320u, 16384u, 16385u, 100001u}) {
    for_each_target([&] {
      expect_counts(gaussian_exponents(n, n));
      expect_counts(Bytes(n, 250));
      expect_counts(geometric(n, n, 17, 0));
      expect_counts(geometric(n, n, 3, 0.2));
      Bytes changing = geometric(n, n, 4);  // the sample knows nothing of the second half's values
      for (size_t i = n / 2 + 64; i < n; ++i) changing[i] = static_cast<uint8_t>(i % 251);
      expect_counts(changing);
    });
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
