// Tiles that end where spans of the text do.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/kv/cache.h"

namespace pith::kv {
namespace {

constexpr uint64_t kSize = 12, kTokens = 600, kPiece = 64;
constexpr const char* kSpans = "cache(dense(f32), window=48, tile=48, cut=spans)";

std::vector<float> row(uint64_t seed, uint64_t token) {
  std::vector<float> out(kSize);
  for (uint64_t c = 0; c < kSize; ++c)
    out[c] = static_cast<float>(random_normal(seed, token * kSize + c));
  return out;
}

// The segment of each token.
std::vector<uint64_t> segments(uint64_t seed) {
  std::vector<uint64_t> out;
  for (uint64_t s = 0; out.size() < kTokens; ++s)
    out.resize(std::min(kTokens, out.size() + 12 + random_bits(seed, s) % 30), s);
  return out;
}

// One head, whose queries give 20 times as much to tokens of their segment as to others, with
// noise.
Cache read(const char* options, uint64_t seed, uint64_t piece = kPiece, bool records = true) {
  Cache cache({1}, kSize, kTokens, CacheOptions::parse(options), kPiece);
  const std::vector<uint64_t> of = segments(seed);
  for (uint64_t p = 0; p < kTokens; ++p) {
    cache.write(0, 0, p, row(1, p).data(), row(2, p).data());
    std::vector<float> weights;
    for (uint64_t q = cache.base(); q <= p; ++q)
      weights.push_back(static_cast<float>(std::exp(0.3 * random_normal(seed, p * kTokens + q)) *
                                           (of[q] == of[p] ? 20 : 1)));
    if (records && cache.records()) cache.record(0, 0, weights);
    if ((p + 1) % piece == 0) cache.settle(p + 1, 1);
  }
  return cache;
}

// Of segments' ends behind the window the share that a tile ends at, to within one token; and tiles
// for each of them.
struct Found {
  double share = 0, tiles = 0;
};
Found found(const Cache& cache, uint64_t seed) {
  const Past& past = *cache.past(0, 0);
  std::set<uint64_t> ends;
  for (uint64_t t = 0; t < past.tiles(); ++t) ends.insert(past.first(t) + past.count(t));
  const std::vector<uint64_t> of = segments(seed);
  double planted = 0, hit = 0;
  for (uint64_t p = 1; p < past.tokens(); ++p) {
    if (of[p] == of[p - 1]) continue;
    ++planted;
    hit += ends.count(p - 1) + ends.count(p) + ends.count(p + 1) > 0;
  }
  return {hit / planted, static_cast<double>(past.tiles()) / planted};
}

TEST(SpanTiles, EndWherePlantedSegmentsEnd) {
  Found spans, one_by_one, even;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const auto add = [&](Found& to, const Cache& cache) {
      const Found f = found(cache, seed);
      to.share += f.share / 4;
      to.tiles += f.tiles / 4;
    };
    add(spans, read(kSpans, seed));
    add(one_by_one, read(kSpans, seed, 1));
    add(even, read("cache(dense(f32), window=48, tile=16)", seed));
  }
  EXPECT_GE(spans.share, 0.8);
  EXPECT_LE(spans.tiles, 1.4);
  EXPECT_GE(one_by_one.share, 0.7);
  EXPECT_LE(one_by_one.tiles, 1.6);
  EXPECT_LE(even.share, 0.4);
}

// However they are cut.
TEST(SpanTiles, HoldWhatWasRead) {
  for (const uint64_t piece : {uint64_t{1}, uint64_t{7}, kPiece}) {
    const Cache cache = read(kSpans, 3, piece);
    const Past& past = *cache.past(0, 0);
    EXPECT_EQ(past.tokens(), cache.base());
    const Past::Rows rows = past.kept_rows(kSize);
    for (uint64_t p = 0; p < cache.base(); ++p) {
      for (uint64_t c = 0; c < kSize; ++c) {
        ASSERT_EQ(rows.keys[p * kSize + c], row(1, p)[c]) << p;
        ASSERT_EQ(rows.values[p * kSize + c], row(2, p)[c]) << p;
      }
    }
    uint64_t before = 0;
    for (uint64_t t = 0; t < past.tiles(); ++t) {
      EXPECT_EQ(past.first(t), before);
      EXPECT_LE(past.count(t), 48U);
      before += past.count(t);
    }
  }
}

// Arrays that are taken over have no queries.
TEST(SpanTiles, WithoutQueriesTilesAreEven) {
  const Cache cache = read(kSpans, 3, kPiece, false);
  const Past& past = *cache.past(0, 0);
  EXPECT_EQ(past.tokens(), cache.base());
  EXPECT_LE(past.tiles(), past.tokens() / 24);
}

TEST(SpanTiles, GoBackAndBeginAgain) {
  Cache cache = read(kSpans, 5);
  const uint64_t base = cache.base();
  cache.forget(base + 3);
  const std::vector<float> weights(4, 1);
  cache.write(0, 0, base + 3, row(1, 0).data(), row(2, 0).data());
  cache.record(0, 0, weights);
  cache.settle(base + 4, 1);
  EXPECT_EQ(cache.base(), base);
  cache.forget(0);
  EXPECT_EQ(cache.base(), 0U);
  for (uint64_t p = 0; p < 200; ++p) cache.write(0, 0, p, row(1, p).data(), row(2, p).data());
  EXPECT_NO_THROW(cache.settle(200, 1));
}

TEST(SpanTiles, WhatCannotBeIsRefused) {
  for (const char* more : {"keep=top(attention), budget=50%", "prompts=whole", "cut=odd"}) {
    const std::string cut = std::string_view(more).starts_with("cut") ? "" : ", cut=spans";
    EXPECT_THROW(CacheOptions::parse(fmt::format("cache(dense(f16){}, {})", cut, more)), Error)
        << more;
  }
  const CacheOptions o = CacheOptions::parse("cache(reads=25%, window=32, tile=32, cut=spans)");
  EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  EXPECT_EQ(o.cut, Cut::kSpans);
}

}  // namespace
}  // namespace pith::kv
