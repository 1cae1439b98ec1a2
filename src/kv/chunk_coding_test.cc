#include "pith/kv/chunk_coding.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::kv {
namespace {

Arrays some(uint64_t tokens) {
  Arrays a{.heads = {2, 0, 1}, .first = 7, .tokens = tokens, .head_size = 20};
  for (uint64_t i = 0; i < a.size(); ++i) {
    a.keys.push_back(static_cast<float>(random_normal(1, i)));
    a.values.push_back(static_cast<float>(random_normal(2, i)));
  }
  return a;
}

TEST(ChunkCoding, FormsThatLoseNothingGiveTheSame) {
  for (const uint64_t tokens : {0U, 1U, 5U, 256U}) {
    const Arrays a = some(tokens);
    const auto coding = ChunkCoding::parse("cache(keys=dense(f32), values=dense(f32))");
    EXPECT_EQ(decode_chunk(coding.encode(a)), a) << tokens;
  }
}

TEST(ChunkCoding, FormsOfFewBitsAreNear) {
  const Arrays a = some(128);
  const Bytes bytes = ChunkCoding::parse("uniform(4, group=32)").encode(a);
  EXPECT_LT(bytes.size() * 8, 2 * a.size() * 6.5);
  const Arrays b = decode_chunk(bytes);
  for (uint64_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a.keys[i], b.keys[i], 0.4);
    EXPECT_NEAR(a.values[i], b.values[i], 0.4);
  }
}

TEST(ChunkCoding, WhatIsDamagedIsRefused) {
  const Bytes bytes = ChunkCoding::parse("uniform(4, group=32)").encode(some(40));
  for (uint64_t n = 0; n < bytes.size(); n += 7) {
    EXPECT_THROW(decode_chunk(ByteView(bytes).first(n)), Error) << n;
  }
  for (uint64_t at = 0; at < 80; ++at) {
    Bytes other = bytes;
    other[at] ^= 0xFF;
    try {
      decode_chunk(other);
    } catch (const Error&) {  // or other numbers
    }
  }
}

}  // namespace
}  // namespace pith::kv
