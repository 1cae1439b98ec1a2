// Heads that lose tokens together, and what a budget can be.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

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

// Where the tokens were read that each head of two layers of two still holds in forms, of 300; what
// its queries give to each is asked for. Keys: each channel so much smaller than the one before.
using Given = std::function<float(uint64_t head, uint64_t position)>;
std::vector<std::vector<uint64_t>> kept(std::string_view options, const Given& given,
                                        const std::vector<float>& decays = {1, 1, 1, 1}) {
  Cache cache({2, 2}, kSize, kCapacity, CacheOptions::parse(options), 64);
  const auto where = [&](uint64_t head) {
    std::vector<uint64_t> out;
    const Past* past = cache.past(head / 2, head % 2);
    if (!past) return out;
    const Past::Rows rows = past->kept_rows(kSize);
    for (size_t i = 0; i < rows.values.size(); i += kSize)
      out.push_back(static_cast<uint64_t>(std::lround(rows.values[i])));
    return out;
  };
  for (uint64_t position = 0; position < 300; ++position) {
    for (uint64_t head = 0; head < 4; ++head) {
      std::vector<float> k = row(head, position), v = row(head + 100, position);
      for (uint64_t c = 0; c < kSize; ++c) k[c] *= std::pow(decays[head], static_cast<float>(c));
      v[0] = static_cast<float>(position);
      cache.write(head / 2, head % 2, position, k.data(), v.data());
      if (!cache.records()) continue;
      std::vector<float> weights;
      for (const uint64_t p : where(head)) weights.push_back(given(head, p));
      for (uint64_t p = cache.base(); p <= position; ++p) weights.push_back(given(head, p));
      cache.record(head / 2, head % 2, weights);
    }
    cache.settle(position + 1, 2);
  }
  std::vector<std::vector<uint64_t>> out;
  for (uint64_t h = 0; h < 4; ++h) out.push_back(where(h));
  return out;
}

// Head h gives to the tokens that are h modulo 20, the first head of a layer three times as much.
float of_twentieths(uint64_t head, uint64_t position) {
  return position % 20 == head ? (head % 2 == 0 ? 3.0F : 1.0F) : 1e-4F;
}

TEST(HeadsBudgets, HeadsThatAreTogetherKeepWhatAllOfThemGaveTo) {
  const auto count = [](const std::vector<uint64_t>& of, uint64_t modulo) {
    return std::ranges::count_if(of, [&](uint64_t p) { return p % 20 == modulo; });
  };
  const std::string cache = "cache(keep=top(attention), budget=45, window=16, tile=16";
  const auto alone = kept(cache + ")", of_twentieths),
             together = kept(cache + ", together=true)", of_twentieths);
  EXPECT_NE(alone[0], alone[1]);
  EXPECT_EQ(count(alone[0], 0), 14);
  EXPECT_LT(count(alone[0], 1), 8);
  EXPECT_EQ(together[0], together[1]);
  EXPECT_EQ(together[2], together[3]);
  EXPECT_NE(together[0], together[2]);
  // All that the first head looks for, and as much of the second as there is room for.
  EXPECT_EQ(count(together[0], 0), 14);
  EXPECT_GE(count(together[0], 1), 12);
  // By keys: heads side by side are longer vectors.
  const auto norms =
      kept("cache(keep=top(norm), budget=45, window=16, tile=16, together=true)", {});
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_NE(norms[0], norms[2]);
}

// Tokens of each head in forms, where nothing is dear to any.
std::vector<double> shares(std::string_view said, const Given& given,
                           const std::vector<float>& decays = {1, 1, 1, 1}) {
  std::vector<double> out;
  for (const auto& k : kept(fmt::format("cache(keep=top(attention(latest=32)), budget=100, "
                                        "shares={}, window=16, tile=16)",
                                        said),
                            given, decays))
    out.push_back(static_cast<double>(k.size() + 16));  // beside those that stayed in the window
  return out;
}

TEST(HeadsBudgets, SharesAreWhatWeightsSay) {
  const auto of = shares("weights(\"1 2 0 1\")", of_twentieths);
  EXPECT_NEAR(of[1], 2 * of[0], 8);
  EXPECT_NEAR(of[3], of[0], 8);
  EXPECT_LE(of[2], 32);  // what stays in any case
  EXPECT_NEAR(of[0] + of[1] + of[2] + of[3], 400, 4 * 15);
  for (const char* bad : {"weights(\"1 2 0\")", "weights(\"1 2 0 1 1\")"})
    EXPECT_THROW(shares(bad, of_twentieths), Error) << bad;
  for (const char* bad : {"weights(\"\")", "weights(\"1 -2 0 1\")", "weights(\"1 x\")",
                          "weights(\"1,2\")", "weights(\"nan 1\")", "weights", "attention(most)",
                          "entropy(groups=0)", "entropy(groups=2, ratio=0.5)"})
    EXPECT_THROW(CacheOptions::parse(fmt::format(
                     "cache(keep=top(attention), budget=100, shares={}, window=16, tile=16)", bad)),
                 Error)
        << bad;
  for (const char* good : {"weights(\"1 2.5 0\")", "entropy(groups=3, ratio=4)", "entropy",
                           "attention", "attention(all)", "attention(layers)"}) {
    const CacheOptions o = CacheOptions::parse(fmt::format(
        "cache(keep=top(attention), budget=100, shares={}, together=true, window=16, tile=16)",
        good));
    EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  }
}

// Head 0 gives the same to all, head 1 to few; so do the heads of the second layer, but all of them
// less.
float uneven(uint64_t head, uint64_t position) {
  const float most = head < 2 ? 1.0F : 0.05F;
  return head % 2 == 0 || position % 100 == 5 ? most : 1e-6F;
}

TEST(HeadsBudgets, ScoresSayWhatHeadsAndLayersHave) {
  const auto layer = shares("attention", uneven), all = shares("attention(all)", uneven),
             layers = shares("attention(layers)", uneven);
  for (const auto& of : {layer, all, layers}) {
    EXPECT_LE(of[0] + of[1] + of[2] + of[3], 400 + 4 * 15);
    EXPECT_GE(of[0] + of[1] + of[2] + of[3], 400 - 4 * 15);
  }
  EXPECT_GT(layer[0], 2 * layer[1]);
  EXPECT_NEAR(layer[0], layer[2], 16);
  EXPECT_GT(all[0], 2 * all[2]);
  EXPECT_GT(all[0], layer[0] + 32);
  EXPECT_EQ(layers[0], layers[1]);
  EXPECT_EQ(layers[2], layers[3]);
  EXPECT_GT(layers[0], 2 * layers[2]);
}

// Keys of few large channels have little entropy.
TEST(HeadsBudgets, EntropySaysWhatHeadsAndGroupsOfLayersHave) {
  const auto heads = shares("entropy", of_twentieths, {0.8F, 0.4F, 0.8F, 0.4F});
  EXPECT_GT(std::min(heads[0], heads[2]), 1.2 * std::max(heads[1], heads[3]));
  const auto groups = shares("entropy(groups=2, ratio=3)", of_twentieths, {0.8F, 0.8F, 0.5F, 0.5F});
  EXPECT_NEAR((groups[0] + groups[1]) / (groups[2] + groups[3]), 3, 0.5);
  // Of two layers the second begins a group even where it has more.
  const auto rising = shares("entropy(groups=2, ratio=3)", of_twentieths, {0.5F, 0.5F, 0.8F, 0.8F});
  EXPECT_GT(rising[0] + rising[1], 2 * (rising[2] + rising[3]));
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
