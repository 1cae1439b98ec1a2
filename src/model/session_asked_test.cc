// Sessions that know what will be asked of a text while they read it.
#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/model/session.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;

constexpr const char* kAsked =
    "cache(keep=top(attention(latest=8)), budget=15%, window=16, tile=16, prompts=asked)";

// What a session answers that has read a text of which `known` was asked.
std::vector<float> answer(Session session, std::span<const int32_t> ids,
                          std::span<const int32_t> known, std::span<const int32_t> question) {
  session.feed_asked(ids, known);
  EXPECT_EQ(session.position(), ids.size());
  return floats(session.feed(question));
}

TEST(SessionAsked, AQuestionLeavesNothingBehind) {
  const Small m;
  const auto ids = m.ids(700), question = m.ids(12, 6);
  Session plain(m.model, 800, 2);
  plain.feed(ids, Logits::kNone);
  const auto wanted = floats(plain.feed(question));
  const std::string all =
      "cache(dense(f32), keep=top(attention(latest=8)), budget=100%, window=16, tile=16, "
      "prompts=asked";
  for (const char* positions : {")", ", positions=cache)"})
    EXPECT_LT(
        distance(answer(m.session((all + positions).c_str()), ids, question, question), wanted),
        1e-5);
  // Nor where it is all that was read before.
  Session empty = m.session(kAsked);
  empty.feed_asked({}, question);
  EXPECT_EQ(empty.position(), 0U);
  Session fresh(m.model, 800, 2);
  EXPECT_LT(distance(floats(empty.feed(question)), floats(fresh.feed(question))), 1e-5);
}

TEST(SessionAsked, WhatStaysIsWhatTheQuestionLooksFor) {
  const Small m;
  const auto ids = m.ids(700), question = m.ids(12, 6), other = m.ids(12, 7);
  const auto said = answer(m.session(kAsked), ids, question, question);
  EXPECT_GT(distance(answer(m.session(kAsked), ids, other, question), said), 1e-3);
  // Whatever the number of threads.
  EXPECT_EQ(
      answer(Session(m.model, 800, 1, 0, kv::CacheOptions::parse(kAsked)), ids, question, question),
      said);
}

TEST(SessionAsked, LittleIsHeldBetweenPieces) {
  const Small m;
  const auto ids = m.ids(700), question = m.ids(12, 6);
  Session asked = m.session(kAsked);
  asked.feed_asked(ids, question);
  EXPECT_LT(asked.held_bits(), asked.read_numbers() * 16 * 2 / 10);
  // It goes on as any other: another text, another question.
  asked.feed(question, Logits::kNone);
  asked.feed_asked(std::span(ids).first(60), m.ids(20, 8));
  EXPECT_EQ(asked.position(), 772U);
}

TEST(SessionAsked, RefusesWhatIsNoQuestionAndLeavesTheSession) {
  const Small m;
  const auto ids = m.ids(500), question = m.ids(12, 6);
  Session s = m.session(kAsked);
  s.feed(ids, Logits::kNone);
  const auto refused = [&](Session& by, std::vector<int32_t> text, std::vector<int32_t> asked) {
    const uint64_t before = by.position();
    EXPECT_THROW(by.feed_asked(text, asked), Error);
    EXPECT_EQ(by.position(), before);
  };
  refused(s, ids, {});
  refused(s, m.ids(10), m.ids(257));
  refused(s, {-1}, question);
  refused(s, m.ids(10), {static_cast<int32_t>(m.config.vocabulary)});
  refused(s, m.ids(289), question);  // one more than there is room for
  s.feed_asked(m.ids(288), question);
  for (const char* cache : {"cache(keep=top(attention), budget=15%, window=16, tile=16)",
                            "cache(uniform(4, group=16), window=16, tile=16)"}) {
    Session looks_at_none = m.session(cache);
    refused(looks_at_none, ids, question);
  }
}

}  // namespace
}  // namespace pith::model
