// Keys and values that leave one session and come into another.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/model/session.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;
TEST(SessionArrays, ASessionGoesOnWhereAnotherWas) {
  DecoderConfig sliding = small_config();
  sliding.windows = {200, 0, 90};
  for (const DecoderConfig& config : {small_config(), sliding}) {
    const Small m(config);
    const auto ids = m.ids(700);
    for (const char* cache :
         {static_cast<const char*>(nullptr), "cache(keys=dense(f32), values=dense(f32), window=0)",
          "cache(keys=uniform(4), values=uniform(4), window=700)"}) {
      Session a = m.session(cache);
      a.feed(ids, Logits::kNone);
      Session b = m.session(cache);
      b.adopt(a.keys_values(0, 1));
      b.adopt(a.keys_values(1, 0));
      b.adopt(a.keys_values(1, 612));
      EXPECT_EQ(b.position(), 613);
      b.feed(std::span(ids).subspan(613), Logits::kNone);
      EXPECT_EQ(b.keys_values(3, 300), a.keys_values(3, 300));
      Session plain = m.session();
      plain.feed(ids, Logits::kNone);
      EXPECT_EQ(floats(b.feed(m.ids(20), Logits::kAll)),
                floats(plain.feed(m.ids(20), Logits::kAll)));
    }
  }
}

TEST(SessionArrays, FormsAreDecodedAndAdoptedPositionsSettle) {
  const Small m;
  const auto ids = m.ids(600);
  Session plain = m.session(), coarse = m.session("uniform(4, group=16)");
  plain.feed(ids, Logits::kNone);
  const kv::Arrays exact = plain.keys_values(0, 600);
  coarse.adopt(exact);
  EXPECT_LT(coarse.cache_bytes(), plain.cache_bytes());
  EXPECT_EQ(coarse.rewindable(300), 0);
  const kv::Arrays held = coarse.keys_values(0, 600);
  EXPECT_EQ(held.keys.size(), exact.keys.size());
  double error = 0, energy = 0;
  for (size_t i = 0; i < held.keys.size(); ++i) {
    error +=
        std::pow(held.keys[i] - exact.keys[i], 2) + std::pow(held.values[i] - exact.values[i], 2);
    energy += std::pow(exact.keys[i], 2) + std::pow(exact.values[i], 2);
  }
  EXPECT_GT(error, 0);
  EXPECT_LT(error / energy, 0.02);
  EXPECT_EQ(coarse.keys_values(500, 100), plain.keys_values(500, 100));  // its window
}

TEST(SessionArrays, RefusesWhatDoesNotFit) {
  const Small m;
  Session s = m.session();
  s.feed(m.ids(100), Logits::kNone);
  EXPECT_THROW(s.keys_values(0, 101), Error);
  EXPECT_THROW(s.keys_values(101, 0), Error);
  EXPECT_THROW(s.keys_values(1, UINT64_MAX), Error);
  const kv::Arrays good = s.keys_values(0, 100);
  EXPECT_THROW(s.adopt(good), Error);  // of positions that are there
  const auto refused = [&](auto change) {
    kv::Arrays bad = good;
    change(bad);
    Session fresh = m.session();
    EXPECT_THROW(fresh.adopt(bad), Error);
    EXPECT_EQ(fresh.position(), 0);
  };
  refused([](kv::Arrays& a) { a.heads.pop_back(); });
  refused([](kv::Arrays& a) { ++a.heads[0]; });
  refused([](kv::Arrays& a) { a.head_size *= 2; });
  refused([](kv::Arrays& a) { a.first = 1; });
  refused([](kv::Arrays& a) { a.keys.pop_back(); });
  refused([](kv::Arrays& a) { a.values.clear(); });
  refused([](kv::Arrays& a) { a.tokens = UINT64_MAX; });
  Session full(m.model, 99);
  EXPECT_THROW(full.adopt(good), Error);
}

// Numbers that no form can hold.
TEST(SessionArrays, HasReadNothingWhereKeysAreNoNumbers) {
  const Small m;
  Session from = m.session(), to = m.session("uniform(4)");
  from.feed(m.ids(400), Logits::kNone);
  kv::Arrays bad = from.keys_values(0, 400);
  bad.keys[9] = NAN;
  EXPECT_THROW(to.adopt(bad), Error);
  EXPECT_EQ(to.position(), 0);
  bad.keys[9] = 0;
  to.adopt(bad);
  EXPECT_EQ(to.position(), 400);
}

}  // namespace
}  // namespace pith::model
