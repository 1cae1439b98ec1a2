#include "pith/audit/planted_facts.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"

namespace pith::audit {
namespace {

using kv::CacheOptions;

TEST(PlantedFacts, TextsAskForWhatTheyHold) {
  for (const PlantedFacts& t : plant_facts(20, 100, 5, 1)) {
    ASSERT_EQ(t.ids.size(), 100U);
    EXPECT_LT(t.place, 90U);
    EXPECT_EQ(t.ids.back(), t.ids[t.place]);
    EXPECT_EQ(t.answer, t.ids[t.place + 1]);
    EXPECT_EQ(std::count(t.ids.begin(), t.ids.end(), t.ids.back()), 2);
  }
  EXPECT_EQ(plant_facts(3, 50, 2, 7)[2].ids, plant_facts(3, 50, 2, 7)[2].ids);
  EXPECT_NE(plant_facts(3, 50, 2, 7)[2].ids, plant_facts(3, 50, 2, 8)[2].ids);
  EXPECT_THROW(plant_facts(1, 100, 0, 1), Error);
  EXPECT_THROW(plant_facts(1, 100, 65, 1), Error);
  EXPECT_THROW(plant_facts(1, 10, 5, 1), Error);
}

TEST(PlantedFacts, SegmentsAreOfOneTopicEach) {
  constexpr int32_t kTopics = 16;
  uint64_t alike = 0, all = 0;
  for (const PlantedFacts& t : plant_in_segments(20, 600, 8, 1)) {
    ASSERT_EQ(t.ids.size(), 600U);
    EXPECT_LT(t.place, 540U);
    EXPECT_EQ(t.ids.back(), t.ids[t.place]);
    EXPECT_EQ(t.answer, t.ids[t.place + 1]);
    EXPECT_EQ(std::count(t.ids.begin(), t.ids.end(), t.ids.back()), 2);
    for (size_t i = 1; i < t.ids.size(); ++i, ++all)
      alike += t.ids[i] % kTopics == t.ids[i - 1] % kTopics;
  }
  // All but those where segments of 22 tokens in the mean end, and answers.
  EXPECT_NEAR(static_cast<double>(alike) / static_cast<double>(all), 0.93, 0.02);
  EXPECT_THROW(plant_in_segments(1, 600, 0, 1), Error);
  EXPECT_THROW(plant_in_segments(1, 100, 5, 1), Error);
  const auto model = make_recall_model(1, 0.35);
  EXPECT_GE(recall(model, plant_in_segments(12, 400, 5, 1)), 0.9);
}

TEST(PlantedFacts, AFullCacheRecalls) {
  const auto model = make_recall_model();
  EXPECT_GE(recall(model, plant_facts(20, 400, 8, 1)), 0.95);
  // What is not there is not recalled: the fact's answer is another token.
  auto texts = plant_facts(20, 400, 8, 1);
  for (PlantedFacts& t : texts) t.ids[t.place + 1] = 0;
  EXPECT_LE(recall(model, texts), 0.1);
}

TEST(PlantedFacts, CachesForgetWhatTheyDrop) {
  const auto model = make_recall_model();
  const auto texts = plant_facts(20, 400, 8, 2);
  const auto of = [&](std::string_view cache) {
    return recall(model, texts, CacheOptions::parse(cache));
  };
  const double full = recall(model, texts);
  EXPECT_EQ(of("cache(dense(f32), window=32)"), full);
  // A quarter of the text: the sinks and the latest.
  EXPECT_LE(of("cache(keep=sink(4) + top(recency), budget=25%, window=32, tile=16)"), 0.35);
  // Nor does what got attention hold what nobody has asked for yet.
  EXPECT_LE(of("cache(keep=top(attention), budget=25%, window=32, tile=16)"), 0.6);
  EXPECT_GE(of("cache(uniform(4, group=32), window=32)"), full - 0.05);
  // Of as many bytes as half of the text, and a quarter.
  EXPECT_GE(of("cache(uniform(6, group=64), window=32, tile=64)"), full - 0.05);
  EXPECT_GE(of("cache(uniform(2, group=48), keys_by=token, window=32, tile=64)"), full - 0.1);
  EXPECT_LE(of("cache(keep=sink(4) + top(recency), budget=50%, window=32, tile=16)"), 0.7);
}

}  // namespace
}  // namespace pith::audit
