// Heads that lose tokens together, and what a budget can be.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/kv/cache.h"
#include "testing_rows.h"

namespace pith::kv {
namespace {

using testing::kCapacity;
using testing::kSize;
using testing::row;

// Tokens that were merged, of one layer of as many heads as there are seeds.
std::vector<Past::Rows> merged(const std::vector<uint64_t>& seeds, int threads) {
  Cache cache({seeds.size()}, kSize, kCapacity,
              CacheOptions::parse("cache(dense(f32), keep=top(attention + attention(latest=32)) | "
                                  "merge(similar, threshold=0.2, weight=attention), budget=64, "
                                  "window=16, tile=16)"),
              64);
  for (uint64_t position = 0; position < 300; ++position) {
    for (uint64_t head = 0; head < seeds.size(); ++head) {
      std::vector<float> k = row(seeds[head], position), v = row(seeds[head] + 100, position);
      v[0] = static_cast<float>(position);
      cache.write(0, head, position, k.data(), v.data());
      const Past* past = cache.past(0, head);
      std::vector<float> weights(past ? past->tokens() : 0);
      weights.resize(weights.size() + position + 1 - cache.base());
      for (size_t i = 0; i < weights.size(); ++i)
        weights[i] = static_cast<float>(random_unit(seeds[head], position * kCapacity + i));
      cache.record(0, head, weights);
    }
    cache.settle(position + 1, threads);
  }
  std::vector<Past::Rows> out;
  for (uint64_t h = 0; h < seeds.size(); ++h) out.push_back(cache.past(0, h)->kept_rows(kSize));
  return out;
}

TEST(HeadsBudgets, HeadsThatAreMergedTogetherAreAsEachByItself) {
  const std::vector<uint64_t> seeds = {1, 2, 3, 4, 5};
  const auto together = merged(seeds, 3);
  uint64_t means = 0;
  for (size_t h = 0; h < seeds.size(); ++h) {
    const auto alone = merged({seeds[h]}, 1);
    EXPECT_EQ(together[h].keys, alone[0].keys) << h;
    EXPECT_EQ(together[h].values, alone[0].values) << h;
    for (size_t i = 0; i < alone[0].values.size(); i += kSize)
      means += alone[0].values[i] != std::round(alone[0].values[i]);
  }
  EXPECT_GT(means, 20 * seeds.size());  // of 48 that lie in forms, what others were merged into
  EXPECT_NE(together[0].values, together[1].values);
}

TEST(HeadsBudgets, BudgetsAreTokensOrShares) {
  const CacheOptions o =
      CacheOptions::parse("cache(keep=top(attention), budget=100, window=32, tile=16)");
  EXPECT_EQ(o.with_budget("48").budget->tokens, 48);
  EXPECT_DOUBLE_EQ(o.with_budget("12.5%").budget->share, 0.125);
  EXPECT_EQ(CacheOptions::parse(o.with_budget("12.5%").text()).text(),
            o.with_budget("12.5%").text());
  for (const char* bad : {"0%", "-5%", "101%", "0", "-1", "1.5", "x", "", "%", "nan", "inf%",
                          "25%)", "99999999999999999999"}) {
    try {
      o.with_budget(bad);
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage) << bad;
      EXPECT_NE(std::string(e.what()).find(fmt::format("`{}`", bad)), std::string::npos)
          << e.what();
    }
  }
  EXPECT_THROW(o.with_budget("46"), Error);
  EXPECT_THROW(CacheOptions::parse("uniform(4)").with_budget("25%"), Error);
  EXPECT_THROW(CacheOptions::parse("cache(keep=top(attention), budget=0%)"), Error);
  // Shares of few tokens are what stays in any case.
  EXPECT_EQ(o.with_budget("1%").kept(2000), 32 + 15);
  EXPECT_EQ(o.with_budget("1%").kept(40), 40);
  EXPECT_EQ(o.with_budget("10%").kept(2000), 200);
}

}  // namespace
}  // namespace pith::kv
