#include "pith/kv/stream.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/random.h"
#include "pith/kv/chunk_coding.h"
#include "testing_arrays.h"

namespace pith::kv {
namespace {

using testing::made;
using testing::squared_error;

Bytes encoded(const Arrays& a, std::string_view coding) {
  return ChunkCoding::parse(coding).encode(a);
}
double bits(const Arrays& a, const Bytes& bytes) {
  return 8.0 * static_cast<double>(bytes.size()) / static_cast<double>(2 * a.size());
}

TEST(KvStream, EveryWayOfCodingComesBackWithinHalfAStep) {
  for (const uint64_t tokens : {1U, 9U, 10U, 11U, 64U, 133U}) {
    const Arrays a = made(tokens);
    for (const std::string deltas : {"none", "mean", "previous", "anchor"}) {
      for (const std::string models : {"channel", "layer", "shared"}) {
        for (const std::string rope : {"kept", "undone"}) {
          const std::string coding =
              "stream(step=0.1, deltas=" + deltas + ", models=" + models + ", rope=" + rope + ")";
          const Arrays b = decode_chunk(encoded(a, coding));
          ASSERT_EQ(b.heads, a.heads);
          ASSERT_EQ(b.first, a.first);
          ASSERT_EQ(b.keys.size(), a.keys.size());
          // A step of a tenth of what is there, uniformly.
          const double bound = tokens < 9 ? 2e-2 : 1.3e-3;
          EXPECT_LT(squared_error(a.keys, b.keys), bound) << coding << tokens;
          EXPECT_LT(squared_error(a.values, b.values), bound) << coding << tokens;
        }
      }
    }
  }
}

TEST(KvStream, BytesDoNotDependOnThreads) {
  const Arrays a = made(70);
  for (const std::string_view coding : {"stream(level=2)", "stream(bits=3, deltas=anchor)"}) {
    const Bytes one = ChunkCoding::parse(coding).encode(a, 1);
    EXPECT_EQ(one, ChunkCoding::parse(coding).encode(a, 4));
    EXPECT_EQ(decode_chunk(one, {}, 1), decode_chunk(one, {}, 4));
  }
}

TEST(KvStream, FinerLevelsTakeMoreAndLoseLess) {
  const Arrays a = made(128);
  double size = 1e9, error = 0;
  for (const int level : {0, 3, 6, 9, 12}) {
    const Bytes bytes = encoded(a, "stream(level=" + std::to_string(level) + ")");
    const double e = squared_error(a.values, decode_chunk(bytes).values);
    EXPECT_LT(bits(a, bytes), size);
    EXPECT_GT(e, error);
    size = bits(a, bytes);
    error = e;
  }
}

TEST(KvStream, BitsThatAreAskedForAreNotExceededAndNearlyUsed) {
  const Arrays a = made(128);
  for (const double wanted : {1.5, 2.5, 5.0}) {
    const Bytes bytes = encoded(a, "stream(bits=" + std::to_string(wanted) + ")");
    EXPECT_LE(bits(a, bytes), wanted);
    EXPECT_GT(bits(a, bytes), wanted * 0.97);
  }
  EXPECT_THROW(encoded(made(4), "stream(bits=0.02)"), Error);
}

TEST(KvStream, ChannelsOfUnlikeSpreadWantModelsOfTheirOwn) {
  Arrays a = made(128);
  for (uint64_t i = 0; i < a.values.size(); ++i)
    a.values[i] *= i % a.head_size % 4 == 0 ? 4.0F : 0.3F;
  const double own = bits(a, encoded(a, "stream(step=0.3)"));
  EXPECT_LT(own, 0.97 * bits(a, encoded(a, "stream(step=0.3, models=layer)")));
  EXPECT_LE(bits(a, encoded(a, "stream(step=0.3, models=layer)")),
            1.001 * bits(a, encoded(a, "stream(step=0.3, models=shared)")));
}

TEST(KvStream, DifferencesPayWhereTokensAreAlike) {
  Arrays a = made(200);
  const auto size = [&](const std::string& deltas) {
    return bits(a, encoded(a, "stream(step=0.1, rope=kept, deltas=" + deltas + ")"));
  };
  EXPECT_LT(size("mean"), size("anchor"));  // of numbers that have nothing to do with each other
  for (std::vector<float>* v : {&a.keys, &a.values}) {
    for (uint64_t i = a.head_size; i < v->size(); ++i) {
      const float before = (*v)[i - a.head_size];
      (*v)[i] = 0.995F * before + 0.1F * (*v)[i];
    }
  }
  EXPECT_LT(size("anchor"), size("mean"));
  EXPECT_LT(size("previous"), size("anchor"));
}

TEST(KvStream, KeysAreCheaperBeforeTheirRotation) {
  Arrays a = made(256);
  for (uint64_t i = 0; i < a.keys.size(); ++i)
    a.keys[i] = (i % 2 == 0 ? 3.0F : -2.0F) + 0.3F * a.keys[i];
  const uint64_t head = a.tokens * a.head_size;
  const Rotator rotator({}, a.head_size, a.first, a.tokens);
  for (uint64_t h = 0; h < a.all_heads(); ++h) rotator.redo(a.keys.data() + h * head);
  const Bytes undone = encoded(a, "stream(bits=3)"), kept = encoded(a, "stream(bits=3, rope=kept)");
  EXPECT_LT(4 * squared_error(a.keys, decode_chunk(undone).keys),
            squared_error(a.keys, decode_chunk(kept).keys));
}

TEST(KvStream, WildNumbersEscape) {
  Arrays a = made(40);
  for (uint64_t i = 5; i < a.values.size(); i += 97) a.values[i] = 3000.0F;
  for (const std::string_view coding :
       {"stream(step=0.01)", "stream(step=0.01, deltas=previous)",
        "stream(step=0.01, deltas=anchor)", "stream(step=0.01, deltas=none)"}) {
    const Arrays b = decode_chunk(encoded(a, coding));
    for (uint64_t i = 5; i < a.values.size(); i += 97) EXPECT_NEAR(b.values[i], 3000, 20) << coding;
  }
  a.keys[3] = NAN;
  EXPECT_THROW(encoded(a, "stream(level=1)"), Error);
}

TEST(KvStream, IsReadAsItArrives) {
  const Arrays a = made(50);
  const Bytes bytes = encoded(a, "stream(level=2)");
  const Arrays whole = decode_chunk(bytes);
  StreamReader reader;
  uint64_t layers = 0, seen = 0;
  for (size_t at = 0; at < bytes.size(); at += 100) {
    EXPECT_FALSE(reader.complete());
    reader.add(ByteView(bytes).subspan(at, std::min<size_t>(100, bytes.size() - at)));
    if (reader.layers() == layers) continue;
    layers = reader.layers();
    ++seen;
    uint64_t heads = 0;
    for (uint64_t l = 0; l < layers; ++l) heads += a.heads[l];
    const auto upto = static_cast<ptrdiff_t>(heads * a.tokens * a.head_size);
    EXPECT_TRUE(
        std::equal(whole.keys.begin(), whole.keys.begin() + upto, reader.arrays().keys.begin()));
  }
  EXPECT_GE(seen, 2U);  // not all at once
  EXPECT_EQ(reader.take(), whole);
}

TEST(KvStream, NothingAndAlmostNothing) {
  for (const Arrays& a : {made(0), Arrays{}, Arrays{.heads = {0, 0}, .tokens = 4, .head_size = 8}})
    EXPECT_EQ(decode_chunk(encoded(a, "stream(level=2)")), a);
  Arrays zeros = made(4096);
  std::ranges::fill(zeros.keys, 0.0F);
  std::ranges::fill(zeros.values, 0.0F);
  EXPECT_EQ(decode_chunk(encoded(zeros, "stream(level=2)")), zeros);
  Arrays one{.heads = {1}, .tokens = 1, .head_size = 1, .keys = {2.0F}, .values = {-3.0F}};
  EXPECT_NEAR(decode_chunk(encoded(one, "stream(level=0)")).values[0], -3, 0.1);
  one.values.clear();
  EXPECT_THROW(encoded(one, "stream(level=0)"), Error);
}

TEST(KvStream, WhatIsDamagedIsRefused) {
  for (const std::string_view coding : {"stream(level=3)", "stream(level=3, deltas=anchor)"}) {
    const Bytes bytes = encoded(made(40), coding);
    for (uint64_t n = 0; n < bytes.size(); n += 13)
      EXPECT_THROW(decode_chunk(ByteView(bytes).first(n)), Error) << n;
    for (uint64_t at = 0; at < bytes.size(); at += 7) {
      Bytes other = bytes;
      other[at] ^= 0x20;
      EXPECT_THROW(decode_chunk(other), Error) << at;
    }
    Bytes longer = bytes;
    longer.push_back(1);
    EXPECT_THROW(decode_chunk(longer), Error);
  }
}

TEST(KvStream, OptionsThatCannotBeAreRefusedByName) {
  const auto says = [](const std::string& coding, const std::string& name) {
    try {
      ChunkCoding::parse(coding);
      ADD_FAILURE() << coding;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    }
  };
  says("stream(level=13)", "level");
  says("stream(bits=2, level=1)", "level");
  says("stream(deltas=next)", "deltas");
  says("stream(group=1, deltas=anchor)", "group");
  says("stream(group=10)", "group");
  says("stream(rope=kept, base=500)", "base");
  says("stream(kept=40%)", "kept");
  says("stream(step=0)", "step");
  says("stream(colour=red)", "colour");
  says("stream(profile=\"/nowhere/at all\")", "/nowhere/at all");
  for (const std::string_view coding :
       {"stream(level=3)", "stream(bits=2, deltas=anchor, group=12)", "stream(rope=kept)"}) {
    const std::string text = ChunkCoding::parse(coding).text();
    EXPECT_EQ(ChunkCoding::parse(text).text(), text);
  }
}

}  // namespace
}  // namespace pith::kv
