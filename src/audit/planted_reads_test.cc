// Facts that are asked for after the text was read, of caches that hold all of it and read a part.
#include <gtest/gtest.h>

#include <algorithm>

#include "pith/audit/planted_facts.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

// The share of questions answered that come by themselves.
double asked(const model::LanguageModel& model, std::span<const PlantedFacts> texts,
             std::string_view cache) {
  const kv::CacheOptions options = kv::CacheOptions::parse(cache);
  uint64_t right = 0;
  for (const PlantedFacts& text : texts) {
    model::Session session(model, text.ids.size(), 2, 0, options);
    const std::span<const int32_t> ids = text.ids;
    session.feed(ids.first(ids.size() - 1), model::Logits::kNone);
    const form::MatrixView logits = session.feed(ids.last(1));
    const std::span<const float> row(logits.data, logits.shape.cols);
    right += std::ranges::max_element(row) - row.begin() == text.answer;
  }
  return static_cast<double>(right) / static_cast<double>(texts.size());
}

TEST(PlantedReads, TilesThatPromiseMostHoldTheFact) {
  const auto model = make_recall_model();
  const auto texts = plant_facts(8, 800, 8, 3);
  EXPECT_EQ(asked(model, texts, "cache(window=32, tile=16, reads=100%)"), 1);
  const double tiles = asked(model, texts, "cache(window=32, tile=16, reads=25%, reads_by=mean)");
  EXPECT_GE(tiles, 0.7);
  // As many tokens: the sinks and the latest, and larger blocks.
  for (const char* other : {"cache(keep=sink(4) + top(recency), budget=25%, window=32, tile=16)",
                            "cache(window=32, tile=128, reads=25%, reads_by=mean)"})
    EXPECT_LE(asked(model, texts, other), tiles - 0.25) << other;
}

}  // namespace
}  // namespace pith::audit
