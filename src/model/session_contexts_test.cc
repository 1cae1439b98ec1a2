// Contexts that were read each by itself and stand side by side.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/model/session.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;
using kv::CacheOptions;

// Contexts of these sizes, each read behind the prefix.
std::vector<kv::Arrays> contexts_of(const Small& m, uint64_t before,
                                    std::initializer_list<size_t> sizes) {
  std::vector<kv::Arrays> out;
  Session s = m.session();
  s.feed(m.ids(before, 1), Logits::kNone);
  for (const size_t n : sizes) {
    s.rewind(before);
    s.feed(m.ids(n, static_cast<uint32_t>(n)), Logits::kNone);
    out.push_back(s.keys_values(before, n));
  }
  return out;
}

std::vector<float> after(Session session, const Small& m, uint64_t before,
                         std::span<const kv::Arrays> contexts, const ContextOptions& options = {}) {
  session.feed(m.ids(before, 1), Logits::kNone);
  session.join(contexts, options);
  return floats(session.feed(m.ids(40, 9), Logits::kAll));
}

TEST(SessionContexts, OneIsATextAsAnyOther) {
  const Small m;
  const auto one = contexts_of(m, 30, {201});
  Session plain = m.session();
  plain.feed(m.ids(30, 1), Logits::kNone);
  plain.feed(m.ids(201, 201), Logits::kNone);
  const auto wanted = floats(plain.feed(m.ids(40, 9), Logits::kAll));
  EXPECT_LT(distance(after(m.session(), m, 30, one), wanted), 1e-5);
  EXPECT_GT(distance(after(m.session(), m, 30, one, {.scale = 0.7}), wanted), 1e-3);
  EXPECT_GT(distance(after(m.session(), m, 30, one, {.temperature = 0.7}), wanted), 1e-3);
}

TEST(SessionContexts, StandInAnyOrderAtTheSamePlace) {
  const Small m;
  auto contexts = contexts_of(m, 17, {50, 201, 133});
  const ContextOptions options{.temperature = 0.9, .scale = 0.8};
  const auto wanted = after(m.session(), m, 17, contexts, options);
  std::ranges::reverse(contexts);
  EXPECT_LT(distance(after(m.session(), m, 17, contexts, options), wanted), 1e-5);
  // Tiles in forms that lose nothing are as good.
  EXPECT_LT(distance(after(m.session("cache(keys=dense(f32), values=dense(f32), window=0)"), m, 17,
                           contexts, options),
                     wanted),
            1e-5);
}

// The same text three times is what it is once, where the three together get a third of what they
// would: softmax cannot tell.
TEST(SessionContexts, WhatIsSaidThriceCountsByTheScale) {
  const Small m;
  const auto once = contexts_of(m, 20, {90});
  const std::vector<kv::Arrays> thrice(3, once[0]);
  const auto wanted = after(m.session(), m, 20, once);
  const double more = distance(after(m.session(), m, 20, thrice), wanted);
  EXPECT_GT(more, 1e-3);
  EXPECT_LT(distance(after(m.session(), m, 20, thrice, {.scale = 0.8}), wanted), more);
}

TEST(SessionContexts, GoesBackBeforeThemOrBehind) {
  const Small m;
  const auto contexts = contexts_of(m, 30, {60, 70});
  Session s = m.session();
  s.feed(m.ids(30, 1), Logits::kNone);
  s.join(contexts, {.scale = 0.5});
  EXPECT_EQ(s.position(), 160);
  const auto first = floats(s.feed(m.ids(40, 9), Logits::kAll));
  EXPECT_EQ(s.rewindable(170), 170);
  EXPECT_EQ(s.rewindable(100), 30);
  EXPECT_EQ(s.rewindable(20), 20);
  EXPECT_THROW(s.rewind(100), Error);
  s.rewind(160);
  EXPECT_EQ(floats(s.feed(m.ids(40, 9), Logits::kAll)), first);
  EXPECT_THROW(s.keys_values(0, 31), Error);
  EXPECT_EQ(s.keys_values(0, 30).tokens, 30);
  EXPECT_THROW(s.join({}), Error);
  s.rewind(30);
  Session plain = m.session();
  plain.feed(m.ids(30, 1), Logits::kNone);
  EXPECT_EQ(floats(s.feed(m.ids(40, 9), Logits::kAll)),
            floats(plain.feed(m.ids(40, 9), Logits::kAll)));
}

TEST(SessionContexts, RefusesWhatDoesNotFit) {
  const Small m;
  const auto good = contexts_of(m, 30, {60, 70});
  const auto refused = [&](Session s, std::vector<kv::Arrays> contexts,
                           const ContextOptions& options = {}) {
    s.feed(m.ids(30, 1), Logits::kNone);
    EXPECT_THROW(s.join(contexts, options), Error);
    EXPECT_EQ(s.position(), 30);
    EXPECT_FALSE(s.joined());
  };
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    refused(m.session(), good, {.temperature = bad});
    refused(m.session(), good, {.scale = bad});
  }
  refused(m.session("cache(keep=top(attention), budget=50%, window=64)"), good);
  refused(Session(m.model, 159), good);
  const auto changed = [&](auto change) {
    auto bad = good;
    change(bad[1]);
    refused(m.session(), bad);
  };
  changed([](kv::Arrays& a) { a.first = 31; });
  changed([](kv::Arrays& a) { a.tokens = UINT64_MAX - 10; });
  changed([](kv::Arrays& a) { a.keys.pop_back(); });
  changed([](kv::Arrays& a) { a.heads.pop_back(); });
  DecoderConfig sliding = small_config();
  sliding.windows = {200, 0, 90};
  const Small slides(sliding);
  Session s = slides.session();
  EXPECT_THROW(s.join(contexts_of(slides, 0, {5})), Error);
}

}  // namespace
}  // namespace pith::model
