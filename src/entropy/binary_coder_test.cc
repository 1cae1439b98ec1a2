#include "pith/entropy/binary_coder.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

namespace pith::entropy {
namespace {

RC_GTEST_PROP(BinaryCoder, ReadsBackUnderAnyProbabilities, (const std::vector<uint16_t>& draws)) {
  BinaryEncoder encoder;
  const auto p_of = [](uint16_t draw) { return std::clamp<uint32_t>(draw, 1, 65535); };
  for (uint16_t draw : draws) encoder.code((draw * 40503u >> 9) & 1, p_of(draw));
  const Bytes coded = encoder.finish();
  BinaryDecoder decoder(coded);
  for (uint16_t draw : draws) RC_ASSERT(decoder.code(0, p_of(draw)) == ((draw * 40503u >> 9) & 1));
}

TEST(BinaryCoder, HoldsExtremeProbabilities) {
  for (uint32_t p : {1u, 65535u}) {
    for (uint32_t bit : {0u, 1u}) {
      BinaryEncoder encoder;
      for (int i = 0; i < 2000; ++i) encoder.code(bit, p);
      const Bytes coded = encoder.finish();
      BinaryDecoder decoder(coded);
      for (int i = 0; i < 2000; ++i) ASSERT_EQ(decoder.code(0, p), bit);
    }
  }
}

TEST(BinaryCoder, CostsWhatTheCostSays) {
  BinaryEncoder encoder;
  BinaryCost cost;
  uint32_t state = 1;
  for (int i = 0; i < 100000; ++i) {
    state = state * 1664525 + 1013904223;
    const uint32_t p = 100 + (state >> 16) % 65000;
    const uint32_t bit = (state >> 3 & 65535) < p;
    encoder.code(bit, p);
    cost.code(bit, p);
  }
  const double bits = double(encoder.finish().size()) * 8;
  EXPECT_NEAR(bits, double(cost.cost()) / 4096, bits * 0.003);
}

TEST(BinaryCost, IsTheLogarithm) {
  for (uint32_t p : {1u, 2u, 3u, 1000u, 32768u, 50000u, 65535u, 65536u}) {
    EXPECT_NEAR(BinaryCost::cost(p) / 4096.0, 16 - std::log2(p), 0.006) << p;
  }
}

TEST(BinaryDecoder, ReadsZerosPastTheEnd) {
  BinaryDecoder decoder(ByteView{});
  for (int i = 0; i < 1000; ++i) decoder.code(0, 32768);
}

TEST(AdaptiveBit, ApproachesTheFrequencyItSees) {
  AdaptiveBit bit;
  EXPECT_EQ(bit.p16(), 32768u);
  for (int i = 0; i < 4000; ++i) bit.update(i % 4 == 0, 1000);
  EXPECT_NEAR(bit.p16() / 65536.0, 0.25, 0.01);
  for (int i = 0; i < 20000; ++i) bit.update(0, 1000);
  EXPECT_LT(bit.p16(), 2u);
  for (int i = 0; i < 20000; ++i) bit.update(1, 1000);
  EXPECT_GT(bit.p16(), 65500u);  // steps round down
}

}  // namespace
}  // namespace pith::entropy
