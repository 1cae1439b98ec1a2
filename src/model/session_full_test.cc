// Sessions whose room ends, and models that a cache cannot serve.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/model/axes_profile.h"
#include "pith/model/generate.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;
using kv::CacheOptions;

constexpr uint64_t kRoom = 300, kPrompt = 20;
constexpr std::array kCaches = {
    "uniform(4, group=20)",
    "cache(keep=sink(4) + top(attention), budget=64, window=32, tile=16)",
    "cache(keep=sink(4) + top(recency), budget=25%, window=32, tile=16, positions=cache)",
    "cache(uniform(8), keep=top(attention) | rest(uniform(2)), budget=30%, window=32, tile=32)",
    "cache(keep=top(attention) | merge(similar), budget=80, window=32, tile=16)",
    "cache(dense(f16), window=32, tile=16, reads=25%)"};

std::vector<int32_t> write(Session& session, std::span<const int32_t> prompt, Stop* stop) {
  GenerateOptions options{.ignore_end = true};
  options.sampler.temperature = 0;
  const Generated out =
      generate(session, prompt, options, [](std::string_view, int32_t) { return true; });
  *stop = out.stop;
  return out.ids;
}

// What the room ends is told, leaves the session as it was, and the beginning is a way back.
void fill(const Small& m, const std::optional<CacheOptions>& cache, const std::string& name) {
  const auto ids = m.ids(kPrompt);
  Session s(m.model, kRoom, 2, 0, cache);
  Stop stop = Stop::kEnd;
  const std::vector<int32_t> first = write(s, ids, &stop);
  EXPECT_EQ(stop, Stop::kContext) << name;
  EXPECT_EQ(first.size(), kRoom - kPrompt + 1) << name;
  EXPECT_EQ(s.position(), kRoom) << name;
  const uint64_t held = s.held_bits();
  try {
    s.feed(std::span(ids).first(1));
    ADD_FAILURE() << name;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kLimit) << name;
  }
  EXPECT_EQ(s.position(), kRoom) << name;
  EXPECT_EQ(s.held_bits(), held) << name;
  s.rewind(0);
  EXPECT_EQ(write(s, ids, &stop), first) << name;
  // A text that is longer by one is refused whole.
  s.rewind(0);
  EXPECT_THROW(s.feed(m.ids(kRoom + 1)), Error) << name;
  EXPECT_EQ(s.position(), 0) << name;
  for (const float v : floats(s.feed(m.ids(kRoom)))) ASSERT_TRUE(std::isfinite(v)) << name;
}

TEST(SessionFull, EndsInTheMiddleOfATextUnderEveryKindOfCache) {
  const Small m;
  fill(m, {}, "plain");
  for (const char* cache : kCaches) fill(m, CacheOptions::parse(cache), cache);
}

TEST(SessionFull, EndsAlongAxes) {
  const Small m;
  Session s(m.model, 200);
  s.feed(m.ids(200, 3), Logits::kNone);
  const kv::Arrays read = s.keys_values(0, 200);
  CacheOptions o = CacheOptions::parse("cache(dense(f16), window=32, tile=32)");
  o.values.by = kv::By::kChannel;
  o.axes = {.path = "made",
            .profile = std::make_shared<const kv::Profile>(kv::fit_profile(
                std::span(&read, 1),
                {.joined = kv::Joined::kHead, .rotation = rotation_of(m.config), .skipped = 0})),
            .kept = 0.5};
  fill(m, o, "axes");
}

// The first token under any cache is as without one: all that is read lies as it is.
TEST(SessionFull, OneTokenIsReadAsItIs) {
  const Small m;
  const auto id = m.ids(1);
  Session plain(m.model, 1);
  const auto wanted = floats(plain.feed(id));
  for (const char* cache : kCaches) {
    for (const uint64_t room : {1U, 2U, 300U}) {
      Session s(m.model, room, 1, 0, CacheOptions::parse(cache));
      EXPECT_EQ(floats(s.feed(id)), wanted) << cache;
    }
  }
}

TEST(SessionFull, LayersThatSeeAWindowAreRefusedBeforeAnyWork) {
  DecoderConfig sliding = small_config();
  sliding.windows = {0, 64, 0};
  const Small m(sliding);
  for (const char* cache : {kCaches[1], kCaches[2], kCaches[3], kCaches[4]}) {
    const CacheOptions o = CacheOptions::parse(cache);
    for (const bool session : {false, true}) {
      try {
        session ? void(Session(m.model, kRoom, 1, 0, o)) : Session::check(m.model, o);
        ADD_FAILURE() << cache;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kUsage) << cache;
        EXPECT_NE(std::string(e.what()).find("layer 1 sees only the last 64"), std::string::npos)
            << e.what();
      }
    }
  }
  EXPECT_NO_THROW(Session::check(m.model, CacheOptions::parse("uniform(4, group=20)")));
  EXPECT_NO_THROW(Session::check(Small().model, CacheOptions::parse(kCaches[1])));
  EXPECT_THROW(Session::check(m.model, CacheOptions::parse("nonesuch")), Error);
  EXPECT_THROW(Session::check(m.model, CacheOptions::parse("ggml(q4_0)")), Error);
}

}  // namespace
}  // namespace pith::model
