#include "nibble_rans_table.h"

#include <gtest/gtest.h>

#include <random>

#include "nibble_rans_kernels.h"

namespace pith::entropy {
namespace {

TEST(NibbleTable, ReciprocalsDivideExactly) {
  for (uint32_t f = 1; f < kNibbleTotal; ++f) {
    if (!nibble_divisible(f)) continue;
    NibbleTable t;
    t.direct = 2;
    t.symbol[1] = 1;
    t.frequency = {static_cast<uint16_t>(f), static_cast<uint16_t>(256 - f)};
    const NibbleEncodeTable e(t);
    for (uint32_t x = 1; x < 256 * f; ++x) {
      ASSERT_EQ(((x * e.reciprocal[0]) >> 16 >> e.shift[0]) + e.plus[0], x / f) << x << " / " << f;
    }
  }
}

TEST(NibbleTable, ChosenTablesAreWellFormedAndReadBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    Histogram counts{};
    const uint32_t used = 1 + random() % 256;
    for (uint32_t i = 0; i < used; ++i) counts[random() % 256] = 1 + (random() >> random() % 32);
    for (uint32_t& c : counts) c >>= 8;  // totals stay below 2^32
    counts[random() % 256] = 1;
    uint64_t cost;
    const NibbleTable t = choose_nibble_table(counts, &cost);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < t.entries(); ++i) {
      ASSERT_GE(t.frequency[i], 1);
      ASSERT_TRUE(t.constant() || nibble_divisible(t.frequency[i]));
      sum += t.frequency[i];
    }
    ASSERT_EQ(sum, kNibbleTotal);
    Bytes bytes;
    BitWriter out(bytes);
    write_nibble_table(t, out);
    out.flush();
    BitReader in(bytes, "test");
    const NibbleTable back = read_nibble_table(in);
    ASSERT_EQ(back.direct, t.direct);
    ASSERT_EQ(back.escape, t.escape);
    ASSERT_EQ(back.frequency, t.frequency);
    for (uint32_t i = 0; i < t.direct; ++i) ASSERT_EQ(back.symbol[i], t.symbol[i]);
    ASSERT_EQ(in.byte_position(), bytes.size());
  }
}

}  // namespace
}  // namespace pith::entropy
