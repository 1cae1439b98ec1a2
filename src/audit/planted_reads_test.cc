// Facts that are asked for after the text was read, of caches that hold all of it and read a part.
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

}  // namespace
}  // namespace pith::audit
