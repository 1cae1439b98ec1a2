// Facts that are asked for after the text was read, of caches that hold all of it and read a part.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include "pith/audit/planted_facts.h"

namespace pith::audit {
namespace {

TEST(PlantedReads, TilesThatPromiseMostHoldTheFact) {
  const auto model = make_recall_model();
  const auto texts = plant_facts(8, 800, 8, 3);
  const auto asked = [&](std::string_view cache) {
    return recall(model, texts, kv::CacheOptions::parse(cache));
  };
  EXPECT_EQ(asked("cache(window=32, tile=16, reads=100%)"), 1);
  const double tiles = asked("cache(window=32, tile=16, reads=25%, reads_by=mean)");
  EXPECT_GE(tiles, 0.7);
  // As many tokens: the sinks and the latest, and larger blocks.
  for (const char* other : {"cache(keep=sink(4) + top(recency), budget=25%, window=32, tile=16)",
                            "cache(window=32, tile=128, reads=25%, reads_by=mean)"})
    EXPECT_LE(asked(other), tiles - 0.25) << other;
}

// As many tokens stay as by what others asked for, or fewer.
TEST(PlantedReads, AQuestionThatIsKnownFindsTheFact) {
  const auto model = make_recall_model();
  const auto texts = plant_facts(5, 900, 8, 3);
  const auto told = [&](std::string_view cache) {
    return recall(model, texts, kv::CacheOptions::parse(cache));
  };
  for (const char* more :
       {"positions=text", "positions=cache", "together=true", "positions=cache, together=true"}) {
    EXPECT_EQ(told(fmt::format("cache(keep=top(attention(latest=64)), budget=10%, window=32, "
                               "tile=16, prompts=asked, {})",
                               more)),
              1)
        << more;
  }
  for (const char* other :
       {"sink(4) + top(recency)", "top(recency)", "top(attention)", "top(attention(latest=32))"})
    EXPECT_LE(told(fmt::format("cache(keep={}, budget=12%, window=32, tile=16)", other)), 0.5)
        << other;
}

// Segments of a topic, of which a key that is the mean of a span's says what it is of.
TEST(PlantedSpansQuality, SpansOfTheTextFindMoreThanBlocks) {
  const auto model = make_recall_model(1, 0.35);
  const auto texts = plant_in_segments(32, 1500, 16, 5);
  const auto asked = [&](std::string_view cache, size_t count) {
    return recall(model, std::span(texts).first(count), kv::CacheOptions::parse(cache));
  };
  const double spans = asked("cache(window=32, tile=32, cut=spans, reads=8%, reads_by=mean)", 32);
  EXPECT_GE(spans, 0.65);
  EXPECT_LE(asked("cache(window=32, tile=16, reads=8%, reads_by=mean)", 32), spans - 0.1);
  // Far fewer, so that a few texts tell.
  for (const char* other : {"cache(window=32, tile=32, reads=8%, reads_by=mean)",
                            "cache(keep=sink(4) + top(recency), budget=8%, window=32, tile=16)"})
    EXPECT_LE(asked(other, 8), spans - 0.3) << other;
}

}  // namespace
}  // namespace pith::audit
