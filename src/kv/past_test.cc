#include "pith/kv/past.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

constexpr uint64_t kSize = 24, kPadded = 32;

std::vector<float> tokens(uint32_t seed, uint64_t size = kSize) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(kTileTokens * size);
  // Channels of their own size, as keys have.
  for (size_t i = 0; i < out.size(); ++i) out[i] = normal(random) * (i % size == 3 ? 20.0f : 1.0f);
  return out;
}

struct Loaded {
  std::vector<float> keys = std::vector<float>(kSize * kTileTokens),
                     values = std::vector<float>(kTileTokens * kPadded, 7);
  Loaded(const Past& past, uint64_t tile) {
    past.load_keys(tile, keys.data());
    past.load_values(tile, values.data(), kPadded);
  }
  double key_error(const std::vector<float>& rows, uint64_t first = 0) const {
    double sum = 0;
    for (uint64_t t = first; t < kTileTokens; ++t) {
      for (uint64_t c = 0; c < kSize; ++c)
        sum += std::pow(keys[c * kTileTokens + t] - rows[t * kSize + c], 2);
    }
    return sum;
  }
  double value_error(const std::vector<float>& rows) const {
    double sum = 0;
    for (uint64_t t = 0; t < kTileTokens; ++t) {
      for (uint64_t c = 0; c < kSize; ++c)
        sum += std::pow(values[t * kPadded + c] - rows[t * kSize + c], 2);
    }
    return sum;
  }
};

TEST(Past, GivesTilesBackInEveryOrientation) {
  const std::vector<float> k = tokens(1), v = tokens(2), k2 = tokens(3), v2 = tokens(4);
  for (const char* by : {"keys_by=channel, values_by=token", "keys_by=token, values_by=channel"}) {
    const CacheOptions o =
        CacheOptions::parse(fmt::format("cache(keys=dense(f32), values=dense(f32), {})", by));
    Past past;
    past.add(o, k.data(), v.data(), kTileTokens, kSize);
    past.add(o, k2.data(), v2.data(), kTileTokens, kSize);
    ASSERT_EQ(past.tiles(), 2);
    EXPECT_EQ(Loaded(past, 0).key_error(k), 0) << by;
    EXPECT_EQ(Loaded(past, 0).value_error(v), 0) << by;
    EXPECT_EQ(Loaded(past, 1).key_error(k2), 0) << by;
    EXPECT_EQ(Loaded(past, 1).value_error(v2), 0) << by;
    EXPECT_EQ(Loaded(past, 1).values[kSize], 7);  // what pads rows is left alone
    past.clear();
    EXPECT_EQ(past.bits(), 0);
  }
}

TEST(Past, ChannelsOfTheirOwnSizeWantScalesOfTheirOwn) {
  const std::vector<float> k = tokens(5), v = tokens(6);
  const auto error = [&](const char* by) {
    Past past;
    past.add(CacheOptions::parse(fmt::format("cache(keys=uniform(4, group=row), "
                                             "values=uniform(4, group=row), keys_by={})",
                                             by)),
             k.data(), v.data(), kTileTokens, kSize);
    EXPECT_LT(past.bits(), 2 * 8 * kTileTokens * kSize);
    return Loaded(past, 0).key_error(k);
  };
  EXPECT_LT(error("channel"), 0.5 * error("token"));
}

TEST(Past, TheFirstTokensStayAlmostExact) {
  const std::vector<float> k = tokens(7), v = tokens(8);
  const auto past = [&](uint64_t sink, const char* by) {
    Past p;
    const CacheOptions o = CacheOptions::parse(
        fmt::format("cache(keys=uniform(2), values=uniform(2), sink={}, keys_by={})", sink, by));
    for (int i = 0; i < 2; ++i) p.add(o, k.data(), v.data(), kTileTokens, kSize);
    return p;
  };
  for (const char* by : {"channel", "token"}) {
    const Past p = past(4, by);
    const Loaded first(p, 0), second(p, 1);
    for (uint64_t c = 0; c < kSize; ++c) {
      for (uint64_t t = 0; t < 4; ++t)
        EXPECT_NEAR(first.keys[c * kTileTokens + t], k[t * kSize + c], 0.02) << by;
    }
    EXPECT_GT(first.key_error(k, 4), 100);
    EXPECT_GT(second.key_error(k), first.key_error(k));
    EXPECT_LT(Loaded(past(128, by), 0).key_error(k), 0.01);
    EXPECT_LT(Loaded(past(200, by), 1).key_error(k), second.key_error(k));
  }
}

// What queries give is lost less where the keys' channels that they hardly look at have the fewer
// steps.
TEST(Past, ChannelsOfKeysAreBalancedWithThoseOfQueries) {
  const std::vector<float> k = tokens(11), v = tokens(12);
  std::vector<float> queries = tokens(13);
  for (size_t i = 3; i < queries.size(); i += kSize) queries[i] /= 400;
  const auto lost = [&](std::string_view more, std::span<const float> seen) {
    const CacheOptions o = CacheOptions::parse(
        fmt::format("cache(keys=uniform(2, group=row), values=zeros, keys_by=token{})", more));
    Past past;
    past.see_queries(seen, kSize);
    past.add(o, k.data(), v.data(), kTileTokens, kSize);
    const Loaded loaded(past, 0);
    double sum = 0;
    for (uint64_t t = 0; t < kTileTokens; ++t) {
      double product = 0;
      for (uint64_t c = 0; c < kSize; ++c)
        product += (loaded.keys[c * kTileTokens + t] - k[t * kSize + c]) * queries[t * kSize + c];
      sum += product * product;
    }
    return sum;
  };
  const double plain = lost("", queries);
  EXPECT_LT(lost(", balanced=true", queries), 0.3 * plain);
  // Before there are queries, and where they are nothing, keys are what they are.
  EXPECT_EQ(lost(", balanced=true", {}), plain);
  EXPECT_EQ(lost(", balanced=true", std::vector<float>(kSize)), plain);
}

TEST(CacheOptions, ReadAndWritten) {
  const CacheOptions o = CacheOptions::parse("uniform(4, group=32)");
  EXPECT_EQ(o.keys.by, By::kChannel);
  EXPECT_EQ(o.values.by, By::kToken);
  EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  EXPECT_EQ(CacheOptions::parse("cache(keys=hadamard | uniform(3), values=zeros, window=0)").window,
            0);
  for (const char* wrong :
       {"cache(keys=uniform(4))", "cache(keys=uniform(4), values=uniform(4), window=-1)",
        "cache(keys=uniform(4), values=uniform(4), keys_by=head)", "cache(", "cache(uniform(4), 3)",
        "cache(uniform(4), balanced=true)", "cache(uniform(4), keys_by=token, balanced=1)"})
    EXPECT_THROW(CacheOptions::parse(wrong), Error) << wrong;
  EXPECT_THROW(CacheOptions::parse("unform(4)").tile_bits(64), Error);
  const double bits = static_cast<double>(o.tile_bits(64)) / (2 * kTileTokens * 64);
  EXPECT_NEAR(bits, 4.5, 0.15);
  const CacheOptions balanced =
      CacheOptions::parse("cache(uniform(4, group=32), keys_by=token, balanced=true)");
  EXPECT_EQ(CacheOptions::parse(balanced.text()).text(), balanced.text());
  // A scale for each channel of keys.
  EXPECT_NEAR(static_cast<double>(balanced.tile_bits(64)) / (2 * kTileTokens * 64),
              bits + 8.0 / kTileTokens, 0.05);
  std::vector<float> k = tokens(9);
  k[5] = NAN;
  for (const CacheOptions& options : {o, balanced}) {
    Past past;
    past.see_queries(tokens(10), kSize);
    EXPECT_THROW(past.add(options, k.data(), k.data(), kTileTokens, kSize), Error);
    EXPECT_EQ(past.tiles(), 0);
  }
}

}  // namespace
}  // namespace pith::kv
