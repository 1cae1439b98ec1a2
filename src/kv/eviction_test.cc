// Caches that leave tokens out.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/kv/attention.h"
#include "pith/kv/cache.h"
#include "testing_rows.h"

namespace pith::kv {
namespace {

using testing::kCapacity;
using testing::kSize;
using testing::row;

// A cache of one layer of two heads. The first channel of a value says where its token was read.
struct Written {
  explicit Written(std::string_view options, Cache::Turn turn = {})
      : cache({2}, kSize, kCapacity, CacheOptions::parse(options), 64, std::move(turn)) {}

  // Queries give a token read at p attention(p).
  void read(uint64_t count, const std::function<float(uint64_t)>& attention = {}) {
    for (uint64_t end = position + count; position < end; ++position) {
      for (uint64_t head = 0; head < 2; ++head) {
        std::vector<float> k = row(head, position), v = row(head + 2, position);
        k[0] = static_cast<float>(position - cache.shift());
        v[0] = static_cast<float>(position);
        cache.write(0, head, position, k.data(), v.data());
        if (cache.records()) note(head, attention);
      }
    }
    cache.settle(position, 1);
  }
  void note(uint64_t head, const std::function<float(uint64_t)>& attention) {
    std::vector<float> weights;
    for (const uint64_t p : kept(head)) weights.push_back(attention(p));
    if (cache.past(0, head)) weights.resize(cache.past(0, head)->tokens());
    for (uint64_t p = cache.base(); p <= position; ++p) weights.push_back(attention(p));
    cache.record(0, head, weights);
  }
  // Where the tokens were read that lie in forms.
  std::vector<uint64_t> kept(uint64_t head) const {
    std::vector<uint64_t> out;
    const Past* past = cache.past(0, head);
    if (!past) return out;
    const Past::Rows rows = past->kept_rows(kSize);
    for (size_t i = 0; i < rows.values.size(); i += kSize)
      out.push_back(static_cast<uint64_t>(std::lround(rows.values[i])));
    return out;
  }
  // The first channels of their keys.
  std::vector<float> places(uint64_t head) const {
    std::vector<float> out;
    const Past::Rows rows = cache.past(0, head)->kept_rows(kSize);
    for (size_t i = 0; i < rows.keys.size(); i += kSize) out.push_back(rows.keys[i]);
    return out;
  }

  Cache cache;
  uint64_t position = 0;
};

std::vector<uint64_t> range(uint64_t begin, uint64_t end) {
  std::vector<uint64_t> out(end - begin);
  std::iota(out.begin(), out.end(), begin);
  return out;
}

TEST(Eviction, SinksAndAWindow) {
  Written w("cache(keep=sink(4) + window(28), budget=64, window=16, tile=16)");
  for (const uint64_t count : {10U, 7U, 64U, 1U, 63U, 55U, 16U}) w.read(count);
  const uint64_t plain = w.position - w.cache.base();
  EXPECT_GE(plain, 16);
  EXPECT_LT(plain, 32);
  // Tokens go when there are more than 64; of those read since then all are there.
  const std::vector<uint64_t> kept = w.kept(0);
  std::vector<uint64_t> wanted = range(0, 4);
  const std::vector<uint64_t> last = range(kept[4], w.cache.base());
  wanted.insert(wanted.end(), last.begin(), last.end());
  EXPECT_EQ(kept, wanted);
  EXPECT_EQ(w.kept(1), wanted);
  EXPECT_GE(last.size() + plain, 28);
  EXPECT_LE(kept.size() + plain, 64);
  // Two bytes a number: tiles hold nothing else but what says so.
  EXPECT_LT(w.cache.held_bits(w.position), 2 * 64 * 2 * kSize * 16 + 2 * 4 * 700);
}

TEST(Eviction, WhatGotMostAttentionStays) {
  Written w("cache(keep=top(attention), budget=128, window=32, tile=32)");
  const auto attention = [](uint64_t p) { return p % 10 == 3 ? 1.0F : 0.01F; };
  for (int i = 0; i < 10; ++i) w.read(50, attention);
  const std::vector<uint64_t> kept = w.kept(0);
  EXPECT_EQ(kept.size() + w.position - w.cache.base(), 128);
  const auto dear = std::ranges::count_if(kept, [](uint64_t p) { return p % 10 == 3; });
  // Of 500 tokens 50 are dear, most of them behind the window.
  EXPECT_EQ(static_cast<uint64_t>(dear), (w.cache.base() + 6) / 10);
  EXPECT_TRUE(std::ranges::is_sorted(kept));
}

TEST(Eviction, ARestStaysInAnotherForm) {
  Written w(
      "cache(dense(f32), keep=top(attention) | rest(uniform(2, group=12)), budget=30%, window=16, "
      "tile=16, keys_by=token)");
  const auto attention = [](uint64_t p) { return p % 2 == 1 ? 1.0F : 0.01F; };
  for (int i = 0; i < 6; ++i) w.read(40, attention);
  const Past& past = *w.cache.past(0, 0);
  EXPECT_EQ(past.tokens() + w.position - w.cache.base(), w.position);
  EXPECT_EQ(past.kept() + w.position - w.cache.base(), w.position * 3 / 10);
  for (const uint64_t p : w.kept(0)) EXPECT_EQ(p % 2, 1);
}

// What leaves together: a third of it one thing, the others the other.
TEST(Eviction, ARestOfSeveralFormsIsTheDearerTheFiner) {
  Written w(
      "cache(dense(f32), keep=top(attention) | tiles(attention, part(dense(f16), 33%), "
      "part(zeros)), budget=30%, window=16, tile=16, keys_by=token)");
  const auto attention = [](uint64_t p) { return p % 3 == 1 ? 1.0F : 0.01F; };
  for (int i = 0; i < 6; ++i) w.read(40, attention);
  const Past& past = *w.cache.past(0, 0);
  EXPECT_EQ(past.tokens() + w.position - w.cache.base(), w.position);
  uint64_t fine = 0, coarse = 0;
  for (uint64_t t = 0; t < past.tiles(); ++t) {
    if (past.first(t) < past.kept()) continue;
    const std::string text = form::to_string(past.keys(t).expression());
    (text == "zeros" ? coarse : fine) += past.count(t);
  }
  EXPECT_NEAR(static_cast<double>(fine), 0.5 * static_cast<double>(coarse), 6);
  EXPECT_GT(fine, 30U);
}

TEST(Eviction, MergedTokensAreMeans) {
  Written w("cache(dense(f32), keep=every(2) | merge(nearest), window=16, tile=16)");
  w.read(32);
  // 0 and 1 make one, 2 and 3, …; the first channel of values says where they were.
  const Past::Rows rows = w.cache.past(0, 0)->kept_rows(kSize);
  ASSERT_EQ(rows.values.size(), 8 * kSize);
  for (uint64_t i = 0; i < 8; ++i) {
    EXPECT_FLOAT_EQ(rows.values[i * kSize], 2.0F * static_cast<float>(i) + 0.5F);
    EXPECT_FLOAT_EQ(rows.keys[i * kSize + 5], (row(0, 2 * i)[5] + row(0, 2 * i + 1)[5]) / 2);
  }
}

// Keys are turned to where their tokens stand among those that are kept.
TEST(Eviction, PositionsInTheCache) {
  Written w(
      "cache(dense(f32), keep=sink(4) + window(40), budget=48, window=16, tile=16, "
      "positions=cache)",
      [](float* key, int64_t by) { key[0] += static_cast<float>(by); });
  for (int i = 0; i < 9; ++i) {
    w.read(37);
    if (w.cache.base() == 0) continue;
    std::vector<float> wanted(w.kept(0).size());
    std::iota(wanted.begin(), wanted.end(), 0.0F);
    EXPECT_EQ(w.places(0), wanted);
    EXPECT_EQ(w.places(1), wanted);
    // And those that lie as they are go on from there.
    for (uint64_t p = w.cache.base(); p < w.position; ++p) {
      const uint64_t at = p - w.cache.base();
      EXPECT_EQ(w.cache.keys(0, 1)[at / kKeyBlock * kKeyBlock * kSize + at % kKeyBlock],
                static_cast<float>(p - w.cache.shift()));
    }
    EXPECT_LT(w.position - w.cache.shift(), 48 + 37);
  }
  EXPECT_EQ(w.kept(0)[3], 3);
  EXPECT_EQ(w.kept(0)[4], w.position - 40);
}

TEST(Eviction, HeadsShareABudgetByTheirAttention) {
  // Head 0 has a few tokens that get all, head 1 gives all the same.
  Written w(
      "cache(keep=top(attention(latest=32)), budget=100, shares=attention, window=16, "
      "tile=16)");
  for (uint64_t i = 0; i < 30; ++i) {
    w.read(10, [&](uint64_t p) { return p % 100 == 5 ? 1.0F : 1e-6F; });
  }
  EXPECT_NEAR(static_cast<double>(w.kept(0).size()), static_cast<double>(w.kept(1).size()), 8);
  Written u(
      "cache(keep=top(attention(latest=32)), budget=100, shares=attention, window=16, "
      "tile=16)");
  for (; u.position < 300; ++u.position) {
    for (uint64_t head = 0; head < 2; ++head) {
      std::vector<float> k = row(head, u.position), v = row(head + 2, u.position);
      v[0] = static_cast<float>(u.position);
      u.cache.write(0, head, u.position, k.data(), v.data());
      u.note(head, [&](uint64_t p) { return head == 1 || p % 100 == 5 ? 1.0F : 1e-6F; });
    }
    u.cache.settle(u.position + 1, 1);
  }
  EXPECT_GT(u.kept(1).size(), 2 * u.kept(0).size());
  const uint64_t plain = u.position - u.cache.base();
  EXPECT_LE(u.kept(0).size() + u.kept(1).size() + 2 * plain, 200 + 2 * 15);
}

// Head 0 always gives to the same tokens, head 1 to one of the latest, another each time.
void read_classes(Written& w, uint64_t count) {
  for (const uint64_t end = w.position + count; w.position < end; ++w.position) {
    for (uint64_t head = 0; head < 2; ++head) {
      std::vector<float> k = row(head, w.position), v = row(head + 2, w.position);
      v[0] = static_cast<float>(w.position);
      w.cache.write(0, head, w.position, k.data(), v.data());
      w.note(head, [&](uint64_t p) {
        return (head == 0 ? p % 10 == 3 : p + p % 7 + 1 == w.position) ? 1.0F : 1e-4F;
      });
    }
    w.cache.settle(w.position + 1, 1);
  }
}

TEST(Eviction, ClassesOfHeadsHaveRulesAndSharesOfTheirOwn) {
  const auto options = [](const char* more) {
    return fmt::format(
        "cache(keep=top(attention(latest=32)), budget=120, window=16, tile=16, "
        "shares=classes(2, moving=top(recency){}))",
        more);
  };
  for (const char* more : {"", ", heads=\"01\""}) {
    Written w(options(more));
    read_classes(w, 600);
    const std::vector<uint64_t> still = w.kept(0), moving = w.kept(1);
    // The latest, without a gap.
    EXPECT_EQ(moving, range(w.cache.base() - moving.size(), w.cache.base()));
    const auto dear = std::ranges::count_if(still, [](uint64_t p) { return p % 10 == 3; });
    EXPECT_EQ(static_cast<uint64_t>(dear), (w.cache.base() + 6) / 10);
    const uint64_t plain = w.position - w.cache.base();
    EXPECT_NEAR(static_cast<double>(still.size() + plain),
                2 * static_cast<double>(moving.size() + plain), 16);
    EXPECT_LE(still.size() + moving.size() + 2 * plain, 240 + 2 * 15);
    w.cache.forget(0);
    w.position = 0;
    read_classes(w, 600);
    EXPECT_EQ(w.kept(0), still);
  }
  Written swapped(options(", heads=\"10\""));
  read_classes(swapped, 600);
  EXPECT_LT(swapped.kept(0).size(), swapped.kept(1).size());
  Written none(options(", part=0%"));
  read_classes(none, 600);
  EXPECT_NEAR(static_cast<double>(none.kept(0).size()), static_cast<double>(none.kept(1).size()),
              8);
  EXPECT_THROW(Written(options(", heads=\"010\"")), Error);
}

TEST(Eviction, GoingBack) {
  Written w("cache(keep=top(attention), budget=64, window=32, tile=16)");
  const auto attention = [](uint64_t p) { return static_cast<float>(p % 7); };
  w.read(200, attention);
  w.cache.forget(w.cache.base() + 5);
  w.position = w.cache.base() + 5;
  w.read(100, attention);
  EXPECT_EQ(w.kept(0).size() + w.position - w.cache.base(), 64);
  w.cache.forget(0);
  w.position = 0;
  w.read(30, attention);
  EXPECT_EQ(w.cache.base(), 0);
}

TEST(Eviction, SomeQueriesSayWhatStays) {
  Written w("cache(keep=top(attention(mean)), budget=50%, window=16, tile=16, probes=10%)");
  const auto asked = [&](uint64_t count, uint64_t together) {
    uint64_t sum = 0;
    for (uint64_t p = 0; p < count; ++p) {
      const uint64_t begin = p / together * together;
      sum += w.cache.records(p, begin, begin + together);
    }
    return static_cast<double>(sum) / static_cast<double>(count);
  };
  for (const uint64_t together : {1, 7, 512}) EXPECT_NEAR(asked(7168, together), 0.1, 0.015);
  for (uint64_t p = 512 - 25; p < 512; ++p) EXPECT_TRUE(w.cache.records(p, 0, 512)) << p;
  // What none of them saw has got nothing, and is there.
  for (; w.position < 200; ++w.position) {
    for (uint64_t head = 0; head < 2; ++head) {
      const std::vector<float> k = row(head, w.position);
      w.cache.write(0, head, w.position, k.data(), k.data());
      if (w.position < 100) w.note(head, [](uint64_t p) { return p < 20 ? 1.0f : 0.0f; });
    }
  }
  w.cache.settle(w.position, 1);
  const std::vector<float> got = w.cache.attention()[0].mean();
  EXPECT_EQ(got.size(), w.cache.past(0, 0)->kept() + w.position - w.cache.base());
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(got[i], 1) << i;
}

TEST(Eviction, WhatCannotBeIsRefusedBeforeAnyWork) {
  for (const char* text :
       {"cache(keep=top(attention), budget=40, window=32, tile=16)",
        "cache(keep=sink(20) + top(attention), budget=64, window=32, tile=16)",
        "cache(keep=top(attention))",
        "cache(keep=top(relevance), budget=500)",
        "cache(uniform(4), budget=20%)",
        "cache(keep=all, shares=entropy)",
        "cache(keep=top(norm), budget=20%, shares=odd)",
        "cache(keep=top(norm), budget=20%, shares=classes(2))",
        "cache(keep=top(norm), budget=20%, shares=classes(0, moving=top(norm)))",
        "cache(keep=top(norm), budget=20%, shares=classes(2, moving=top(relevance)))",
        "cache(keep=top(norm), budget=20%, shares=classes(2, moving=top(norm), heads=\"012\"))",
        "cache(keep=top(norm), budget=20%, shares=classes(2, moving=top(norm), heads=\"\"))",
        "cache(keep=top(norm), budget=20%, shares=classes(2, moving=top(norm), part=10%, "
        "heads=\"01\"))",
        "cache(keep=all, tile=20)",
        "cache(keep=all, tile=256)",
        "cache(uniform(4), positions=cache)",
        "cache(keep=all | rest(zeros), positions=cache)",
        "cache(keep=nothing)",
        "cache(keep=top(attention), budget=half)",
        "cache(uniform(4), prompts=asked)",
        "cache(uniform(4), probes=10%)",
        "cache(keep=top(attention(latest=8)), budget=25%, probes=10%)",
        "cache(keep=top(attention), budget=25%, probes=0%)",
        "cache(keep=sink(4) + top(recency), budget=25%, prompts=asked)",
        "cache(keep=all)"}) {
    const bool fine = std::string_view(text) == "cache(keep=all)";
    if (fine) {
      EXPECT_NO_THROW(CacheOptions::parse(text));
    } else {
      EXPECT_THROW(CacheOptions::parse(text), Error) << text;
    }
  }
  const CacheOptions o = CacheOptions::parse(
      "cache(keys=uniform(4), values=zeros, keep=sink(4) + top(attention) | merge(similar), "
      "budget=25%, shares=falling(3), window=64, tile=64, positions=cache, prompts=asked)");
  EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  const CacheOptions some =
      CacheOptions::parse("cache(keep=top(attention), budget=25%, probes=10%)");
  EXPECT_EQ(CacheOptions::parse(some.text()).probes, 0.1);
  for (const char* more : {"part=25%", "heads=\"0101\""}) {
    const CacheOptions c = CacheOptions::parse(
        fmt::format("cache(keep=top(attention), budget=30%, shares=classes(1.5, "
                    "moving=sink(4) + top(recency), {}))",
                    more));
    EXPECT_EQ(CacheOptions::parse(c.text()).text(), c.text());
    EXPECT_EQ(c.with_budget("20%").budget->heads, c.budget->heads);
  }
}

// What queries give, against plain loops, over tokens in forms, of which a rest is kept, and not.
TEST(AttentionWeights, AreThoseOfTheSoftmax) {
  Written w("cache(dense(f32), keep=every(2) | rest(dense(f32)), window=20, tile=16)");
  w.read(150);
  const uint64_t group = 3, n = 2, first = w.position - n;
  std::vector<float> queries(n * group * kSize);
  for (size_t i = 0; i < queries.size(); ++i)
    queries[i] = 0.01F * static_cast<float>(random_normal(9, i));
  const SharedHead head{.queries = queries.data(),
                        .stride = group * kSize,
                        .group = group,
                        .head_size = kSize,
                        .first = first,
                        .keys = w.cache.keys(0, 1),
                        .values = w.cache.values(0, 1),
                        .base = w.cache.base(),
                        .past = w.cache.past(0, 1),
                        .padded_size = w.cache.padded_size()};
  for (uint64_t at = 0; at < n; ++at) {
    std::vector<float> weights;
    attention_weights(head, at, weights);
    std::vector<std::vector<float>> keys;  // in the order of the weights
    for (uint64_t t = 0; t < head.past->tiles(); ++t) {
      std::vector<float> k(kSize * kTileTokens);
      head.past->load_keys(t, k.data());
      for (uint64_t i = 0; i < head.past->count(t); ++i) {
        keys.emplace_back();
        for (uint64_t c = 0; c < kSize; ++c) keys.back().push_back(k[c * kTileTokens + i]);
      }
    }
    for (uint64_t p = w.cache.base(); p <= first + at; ++p) {
      keys.push_back(row(1, p));
      keys.back()[0] = static_cast<float>(p);
    }
    ASSERT_EQ(weights.size(), keys.size());
    std::vector<double> wanted(keys.size());
    for (uint64_t g = 0; g < group; ++g) {
      const float* q = queries.data() + (at * group + g) * kSize;
      std::vector<double> e;
      for (const auto& k : keys)
        e.push_back(std::exp(std::inner_product(q, q + kSize, k.begin(), 0.0)));
      const double sum = std::accumulate(e.begin(), e.end(), 0.0);
      for (size_t i = 0; i < e.size(); ++i) wanted[i] += e[i] / sum;
    }
    for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(weights[i], wanted[i], 1e-5);
  }
}

}  // namespace
}  // namespace pith::kv
