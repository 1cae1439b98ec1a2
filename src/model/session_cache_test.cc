// Sessions whose past lies in forms.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/model/session.h"
#include "testing_sessions.h"

namespace pith::model {
namespace {

using namespace testing;
using kv::CacheOptions;

// What lies in a form that loses nothing is worked off in the same order.
TEST(SessionCache, FormsThatLoseNothingChangeNothing) {
  DecoderConfig sliding = small_config();
  sliding.windows = {200, 0, 90};
  for (const DecoderConfig& config : {small_config(), sliding}) {
    const Small m(config);
    const auto ids = m.ids(700);
    const auto plain = logits_of(Session(m.model, 700), ids, 700);
    for (const char* text : {"cache(keys=dense(f32), values=dense(f32), window=0)",
                             "cache(keys=zeros, values=zeros, window=700)"}) {
      for (const int threads : {1, 3}) {
        EXPECT_EQ(logits_of(Session(m.model, 700, threads, 0, CacheOptions::parse(text)), ids, 650),
                  plain)
            << text;
      }
    }
    // Products of tokens add up their channels in another order.
    for (const char* text : {"cache(keys=dense(f32), values=dense(f32), window=0)",
                             "cache(keys=dense(f32), values=dense(f32), keys_by=token, "
                             "values_by=channel, window=100)"}) {
      const CacheOptions exact = CacheOptions::parse(text);
      EXPECT_LT(distance(logits_of(Session(m.model, 700, 1, 0, exact), ids, 9), plain), 1e-5);
    }
  }
}

TEST(SessionCache, FewerBitsLoseMoreAndTakeLess) {
  const Small m;
  const auto ids = m.ids(600);
  const auto plain = logits_of(Session(m.model, 600), ids, 16);
  double before = 0;
  for (const char* form :
       {"uniform(8, group=16)", "uniform(4, group=16)", "uniform(2, group=16)"}) {
    const double lost =
        distance(logits_of(Session(m.model, 600, 2, 0, CacheOptions::parse(form)), ids, 16), plain);
    EXPECT_GT(lost, 2 * before) << form;
    EXPECT_LT(lost, 0.7) << form;
    before = lost;
  }
  const auto window = [&](uint64_t n) {
    const CacheOptions o =
        CacheOptions::parse(fmt::format("cache(keys=uniform(2), values=uniform(2), window={})", n));
    return distance(logits_of(Session(m.model, 600, 2, 0, o), ids, 16), plain);
  };
  EXPECT_LT(window(300), window(0));
}

TEST(SessionCache, HoldsLongTextsInLittle) {
  const Small m;
  const auto ids = m.ids(6000);
  Session plain(m.model, 6000),
      small(m.model, 6000, 1, 0, CacheOptions::parse("uniform(4, group=16)"));
  EXPECT_LT(small.needed_bytes(), plain.needed_bytes());
  small.feed(ids, Logits::kNone);
  EXPECT_LT(small.cache_bytes(), plain.cache_bytes() / 3);
  EXPECT_EQ(small.position(), 6000);
  EXPECT_THROW(small.feed(m.ids(1)), Error);
}

TEST(SessionCache, GoesBackToTheWindowOrTheBeginning) {
  const Small m;
  const auto ids = m.ids(400);
  Session s(m.model, 500, 1, 0, CacheOptions::parse("uniform(3)"));
  const auto first = s.feed(std::span(ids).first(100));
  const std::vector<float> wanted(first.data, first.data + first.shape.size());
  s.feed(std::span(ids).subspan(100));
  EXPECT_EQ(s.rewindable(300), 300);
  EXPECT_EQ(s.rewindable(100), 0);
  s.rewind(300);
  EXPECT_THROW(s.rewind(100), Error);
  EXPECT_EQ(s.position(), 300);
  s.rewind(0);
  const auto again = s.feed(std::span(ids).first(100));
  EXPECT_EQ(std::vector<float>(again.data, again.data + again.shape.size()), wanted);
}

// Numbers that no form can hold are told where a plain cache would go on.
TEST(SessionCache, HasReadNothingWhereKeysAreNoNumbers) {
  const DecoderConfig config = small_config();
  Tensors tensors = random_tensors(config);
  tensors.at("model.layers.1.self_attn.k_proj.weight").values[7] = NAN;
  const MemoryWeights source(config, tensors);
  const LanguageModel model = make_model(source);
  const std::vector<int32_t> ids(400, 3);
  Session s(model, 500, 2, 0, CacheOptions::parse("uniform(4)"));
  EXPECT_THROW(s.feed(ids), Error);
  EXPECT_EQ(s.position(), 0);
  EXPECT_THROW(s.feed(ids), Error);
  s.feed(std::span(ids).first(100));
  EXPECT_EQ(s.position(), 100);
}

TEST(SessionCache, RefusesWhatItsHeadsCannotHave) {
  const Small m;
  EXPECT_THROW(Session(m.model, 500, 1, 0, CacheOptions::parse("blockdiag(3, values=what)")),
               Error);
  EXPECT_THROW(Session(m.model, 500, 1, 0, CacheOptions::parse("ref(\"a\")")), Error);
}

}  // namespace
}  // namespace pith::model
