// Caches that hold everything, of which attention reads part.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/kv/attention.h"
#include "pith/kv/cache.h"

namespace pith::kv {
namespace {

constexpr uint64_t kSize = 12, kTokens = 200;

std::vector<float> row(uint64_t seed, uint64_t token) {
  std::vector<float> out(kSize);
  for (uint64_t c = 0; c < kSize; ++c)
    out[c] = static_cast<float>(random_normal(seed, token * kSize + c));
  return out;
}

// Tokens whose keys are noise, but for one that the query looks for.
struct Written {
  explicit Written(const char* options, uint64_t wanted)
      : cache({1}, kSize, 2 * kTokens, CacheOptions::parse(options), 64) {
    for (uint64_t p = 0; p < kTokens; ++p) {
      std::vector<float> key = row(1, p), value = row(2, p);
      if (p == wanted) key.assign(kSize, 4);
      cache.write(0, 0, p, key.data(), value.data());
      if ((p + 1) % 8 == 0) cache.settle(p + 1, 1);
    }
  }
  // Of a query of the last position that is alike in all channels.
  std::vector<float> attended(uint64_t read) const {
    const std::vector<float> query(kSize, 1);
    std::vector<float> out(kSize);
    attend({.queries = query.data(),
            .out = out.data(),
            .stride = kSize,
            .head_size = kSize,
            .first = kTokens - 1,
            .keys = cache.keys(0, 0),
            .values = cache.values(0, 0),
            .base = cache.base(),
            .past = cache.past(0, 0),
            .past_read = read,
            .padded_size = cache.padded_size()},
           0, 1);
    return out;
  }
  Cache cache;
};

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::pow(a[i] - b[i], 2);
  return std::sqrt(sum);
}

TEST(Reads, FindTheTileThatPromisesMost) {
  for (const char* by : {"bound", "mean"}) {
    const std::string text =
        fmt::format("cache(dense(f32), window=16, tile=16, reads=25%, reads_by={})", by);
    for (const uint64_t wanted : {3U, 77U, 130U}) {
      const Written w(text.c_str(), wanted);
      const auto all = w.attended(UINT64_MAX);
      EXPECT_LT(distance(all, row(2, wanted)), 0.01);
      // The first tile and one more.
      EXPECT_LT(distance(w.attended(32), all), 0.01) << by << wanted;
      EXPECT_GT(distance(w.attended(0), all), 0.3);
    }
  }
}

TEST(Reads, OfAllTilesAreWhatAttentionGives) {
  const Written w("cache(dense(f32), window=16, tile=16, reads=25%)", 50);
  EXPECT_EQ(w.attended(kTokens), w.attended(UINT64_MAX));
  EXPECT_EQ(w.cache.past_read(kTokens), 50 - (kTokens - w.cache.base()));
  EXPECT_EQ(w.cache.past_read(w.cache.base() + 100), (w.cache.base() + 103) / 4 - 31);
  const Written plain("cache(dense(f32), window=16, tile=16)", 50);
  EXPECT_EQ(plain.attended(UINT64_MAX), w.attended(UINT64_MAX));
  EXPECT_EQ(plain.cache.past_read(kTokens), UINT64_MAX);
  // What tiles are told by is held too.
  EXPECT_EQ(w.cache.past_bits() - plain.cache.past_bits(), w.cache.base() / 16 * 2 * kSize * 32);
}

TEST(Reads, PromisesBoundWhatKeysGive) {
  const Written w("cache(dense(f32), window=16, tile=16, reads=25%)", 50);
  const Past& past = *w.cache.past(0, 0);
  for (uint64_t q = 0; q < 20; ++q) {
    const std::vector<float> query = row(9, q);
    const Past::Rows rows = past.kept_rows(kSize);
    for (uint64_t t = 0; t < past.tiles(); ++t) {
      float most = -1e9F;
      for (uint64_t p = past.first(t); p < past.first(t) + past.count(t); ++p) {
        float dot = 0;
        for (uint64_t c = 0; c < kSize; ++c) dot += query[c] * rows.keys[p * kSize + c];
        most = std::max(most, dot);
      }
      EXPECT_GE(past.promise(t, query.data()), most - 1e-4F);
    }
  }
}

TEST(Reads, WhatCannotBeIsRefused) {
  for (const char* text : {"cache(dense(f16), reads=0)", "cache(dense(f16), reads=half)",
                           "cache(dense(f16), reads=120%)", "cache(dense(f16), reads_by=mean)",
                           "cache(dense(f16), reads=10%, reads_by=luck)",
                           "cache(keep=top(attention), budget=50%, window=32, tile=16, reads=10%)"})
    EXPECT_THROW(CacheOptions::parse(text), Error) << text;
  const CacheOptions o = CacheOptions::parse("cache(reads=64, reads_by=mean, window=32)");
  EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  EXPECT_EQ(*o.reads->of.tokens, 64);
}

}  // namespace
}  // namespace pith::kv
