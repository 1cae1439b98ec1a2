// Sessions whose past lies along the axes of a profile.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/kv/chunk_coding.h"
#include "pith/model/axes_profile.h"
#include "pith/model/session.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;
using kv::CacheOptions;

constexpr uint64_t kRead = 700;

// With a profile of what it gives.
struct Profiled : Small {
  Profiled() {
    std::vector<kv::Arrays> caches;
    for (uint32_t seed = 1; seed <= 3; ++seed) {
      Session s(model, 300);
      s.feed(ids(300, seed), Logits::kNone);
      caches.push_back(s.keys_values(0, 300));
    }
    profile = kv::fit_profile(
        caches, {.joined = kv::Joined::kHead, .rotation = rotation_of(config), .skipped = 0});
  }
  CacheOptions along(const char* cache, double kept) const {
    CacheOptions o = CacheOptions::parse(cache);
    o.values.by = kv::By::kChannel;
    o.axes = {.path = "made",
              .profile = std::make_shared<const kv::Profile>(profile),
              .kept = kept,
              .ranks = kv::Ranks::kEqual};
    return o;
  }

  kv::Profile profile;
};

TEST(SessionAxes, AllOfThemAreThePlainCacheAndFewerLoseMore) {
  const Profiled m;
  const auto ids = m.ids(kRead, 9);
  const auto plain = logits_of(Session(m.model, kRead), ids, 50);
  double before = 1e-7;
  for (const double kept : {1.0, 0.75, 0.25}) {
    const CacheOptions o = m.along("cache(dense(f32), window=32)", kept);
    Session s(m.model, kRead, 1, 0, o);
    const auto one = logits_of(std::move(s), ids, 50);
    EXPECT_EQ(logits_of(Session(m.model, kRead, 3, 0, o), ids, 50), one) << kept;
    const double lost = distance(one, plain);
    EXPECT_GT(lost, 1.5 * before) << kept;
    if (kept == 1) {
      EXPECT_LT(lost, 1e-4);
    }
    before = lost;
  }
  EXPECT_LT(before, 1);
}

TEST(SessionAxes, HeldBitsFallWithThem) {
  const Profiled m;
  const auto ids = m.ids(kRead, 9);
  const auto held = [&](double kept) {
    Session s(m.model, kRead, 1, 0, m.along("cache(dense(f16), window=0)", kept));
    s.feed(ids, Logits::kNone);
    return static_cast<double>(s.held_bits()) / static_cast<double>(s.read_numbers());
  };
  EXPECT_GT(held(1), 16);
  EXPECT_LT(held(0.25), 0.5 * held(1));
  Session full(m.model, 6000), few(m.model, 6000, 1, 0, m.along("dense(f16)", 0.25));
  EXPECT_LT(few.needed_bytes(), full.needed_bytes());
}

TEST(SessionAxes, GoBackAndTravelAsOtherForms) {
  const Profiled m;
  const auto ids = m.ids(400, 9);
  const CacheOptions o = m.along("cache(dense(f32), window=32)", 1);
  Session s(m.model, 500, 1, 0, o);
  s.feed(std::span(ids).first(300), Logits::kNone);
  EXPECT_EQ(s.rewindable(100), 0);
  const kv::Arrays taken = s.keys_values(0, 300);
  Session whole(m.model, 500);
  whole.feed(std::span(ids).first(300), Logits::kNone);
  const kv::Arrays wanted = whole.keys_values(0, 300);
  EXPECT_LT(distance(taken.keys, wanted.keys), 1e-4);
  EXPECT_LT(distance(taken.values, wanted.values), 1e-4);
  Session other(m.model, 500, 1, 0, o);
  other.adopt(taken);
  EXPECT_EQ(other.held_bits(), s.held_bits());
  s.rewind(0);
  const auto first = s.feed(std::span(ids).first(20));
  const std::vector<float> again(first.data, first.data + first.shape.size());
  Session fresh(m.model, 500, 1, 0, o);
  const auto rows = fresh.feed(std::span(ids).first(20));
  EXPECT_EQ(std::vector<float>(rows.data, rows.data + rows.shape.size()), again);
}

TEST(SessionAxes, OfAnotherModelAreRefusedBeforeAnyWork) {
  const Profiled m;
  CacheOptions o = m.along("dense(f16)", 1);
  kv::Profile other = m.profile;
  other.heads.pop_back();
  o.axes->profile = std::make_shared<const kv::Profile>(other);
  EXPECT_THROW(Session(m.model, 500, 1, 0, o), Error);
  EXPECT_THROW(ordered_by_harm(m.model, other, m.ids(kRead, 9)), Error);
  EXPECT_THROW(ordered_by_harm(m.model, m.profile, m.ids(100, 9)), Error);
}

TEST(SessionAxes, OfWeightsSpanWhatWeightsMake) {
  const Profiled m;
  const kv::Profile p = weight_profile(m.model);
  EXPECT_EQ(p.heads, m.profile.heads);
  EXPECT_EQ(kv::read_profile(p.bytes()), p);
  for (const kv::Span& s : p.spans) {
    for (uint64_t a = 0; a < s.count(); ++a) {
      double length = 0;
      for (uint64_t c = 0; c < s.channels(); ++c)
        length += std::pow(double{s.axes[a * s.channels() + c]}, 2);
      EXPECT_NEAR(length, 1, 1e-4);
    }
  }
  CacheOptions o = m.along("cache(dense(f32), window=32)", 1);
  o.axes->profile = std::make_shared<const kv::Profile>(p);
  const auto ids = m.ids(kRead, 9);
  EXPECT_LT(distance(logits_of(Session(m.model, kRead, 1, 0, o), ids, 50),
                     logits_of(Session(m.model, kRead), ids, 50)),
            1e-4);
}

TEST(SessionAxes, OfLeastLossGiveAllBackWhereAllAreKept) {
  const Profiled m;
  const HarmOptions options{.context = 96, .queries = 16, .near = 8, .first = 2, .texts = 3};
  const kv::Profile p = attention_profile(m.model, m.ids(300, 4), options);
  EXPECT_EQ(attention_profile(m.model, m.ids(300, 4), options, 3), p);
  EXPECT_EQ(kv::read_profile(p.bytes()), p);
  for (const kv::Span& s : p.spans) {
    const uint64_t n = s.channels();
    EXPECT_TRUE(std::ranges::is_sorted(s.importance, std::ranges::greater{}));
    for (uint64_t a = 0; a < n; ++a) {
      for (uint64_t b = 0; b < n; ++b) {
        double product = 0;
        for (uint64_t c = 0; c < n; ++c) product += double{s.axes[a * n + c]} * s.duals[b * n + c];
        EXPECT_NEAR(product, a == b ? 1 : 0, 1e-3);
      }
    }
  }
  const auto ids = m.ids(kRead, 9);
  const auto plain = logits_of(Session(m.model, kRead), ids, 50);
  const auto lost = [&](const kv::Profile& profile, double kept) {
    CacheOptions o = m.along("cache(dense(f32), window=32)", kept);
    o.axes->profile = std::make_shared<const kv::Profile>(profile);
    return distance(logits_of(Session(m.model, kRead, 1, 0, o), ids, 50), plain);
  };
  EXPECT_LT(lost(p, 1), 1e-3);
  EXPECT_LT(lost(p, 0.5), 1.05 * lost(m.profile, 0.5));
  // What travels can be coded along them, too.
  Session whole(m.model, 60);
  whole.feed(std::span(ids).first(60), Logits::kNone);
  const kv::Arrays wanted = whole.keys_values(0, 60);
  kv::StreamOptions stream;
  stream.step = 1e-3;
  stream.deltas = kv::Deltas::kNone;
  stream.profile = std::make_shared<const kv::Profile>(p);
  stream.rotation = p.rotation;
  const kv::Arrays back = kv::decode_chunk(kv::encode_stream(wanted, stream), stream.profile);
  EXPECT_LT(distance(back.keys, wanted.keys), 0.01);
  EXPECT_LT(distance(back.values, wanted.values), 0.01);
  EXPECT_THROW(attention_profile(m.model, m.ids(90, 9), options), Error);
  EXPECT_THROW(attention_profile(m.model, m.ids(300, 9), {.context = 50, .queries = 40, .near = 8}),
               Error);
}

// An axis whose place the mean takes without harm comes last.
TEST(SessionAxes, AreOrderedByWhatIsLostWithoutThem) {
  DecoderConfig config = small_config();
  Tensors tensors = random_tensors(config);
  // The output of the first head of layer 1 does not read its channel 5.
  Tensor& output = tensors.at("model.layers.1.self_attn.o_proj.weight");
  const uint64_t cols = output.shape[1], group = config.heads / config.kv_heads;
  for (uint64_t r = 0; r < output.shape[0]; ++r) {
    for (uint64_t q = 0; q < group; ++q) output.values[r * cols + q * config.head_size + 5] = 0;
  }
  const MemoryWeights source(config, tensors);
  const LanguageModel model = make_model(source);
  const Profiled m;
  const kv::Profile channels = kv::along_channels(m.profile);
  const HarmOptions options{.context = 96, .queries = 8, .near = 16, .first = 2, .texts = 2};
  const kv::Profile ordered = ordered_by_harm(model, channels, m.ids(200, 9), options);
  EXPECT_EQ(ordered_by_harm(model, channels, m.ids(200, 9), options, 3), ordered);
  const kv::Span& values = ordered.spans[ordered.spans.size() / 2 + config.kv_heads];
  ASSERT_TRUE(values.values);
  EXPECT_EQ(values.axes[(values.count() - 1) * values.channels() + 5], 1);
  EXPECT_EQ(values.importance.back(), 0);
  for (const kv::Span& s : ordered.spans) {
    EXPECT_TRUE(std::ranges::is_sorted(s.importance, std::ranges::greater{}));
    EXPECT_GT(s.importance[0], 0);
  }
}

}  // namespace
}  // namespace pith::model
