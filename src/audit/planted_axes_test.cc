// Facts that are asked for, of caches along axes: fewer numbers of every token beside fewer tokens.
#include <gtest/gtest.h>

#include "pith/audit/planted_facts.h"
#include "pith/model/axes_profile.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

constexpr uint64_t kLength = 700;

class PlantedAxesQuality : public testing::Test {
 protected:
  static std::shared_ptr<const kv::Profile> fitted() {
    std::vector<int32_t> ids;
    for (const PlantedFacts& t : plant_facts(4, 512, 16, 99))
      ids.insert(ids.end(), t.ids.begin(), t.ids.end());
    return std::make_shared<const kv::Profile>(
        model::attention_profile(model(), ids, {.context = 512, .texts = 4}));
  }
  static const model::LanguageModel& model() {
    static const model::LanguageModel made = make_recall_model();
    return made;
  }
  struct Outcome {
    double told = 0, bits = 0;
  };
  static Outcome of(const kv::CacheOptions& cache) {
    static const auto texts = plant_facts(16, kLength, 16, 1);
    model::Session session(model(), kLength, 1, 0, cache);
    session.feed(texts[0].ids, model::Logits::kNone);
    return {recall(model(), texts, cache),
            static_cast<double>(session.held_bits()) / static_cast<double>(session.read_numbers())};
  }
  static Outcome along(double kept, kv::Ranks ranks, const char* form = "dense(f16)",
                       uint64_t window = 32) {
    static const auto profile = fitted();
    kv::CacheOptions o =
        kv::CacheOptions::parse(fmt::format("cache({}, window={}, tile=32)", form, window));
    o.values.by = kv::By::kChannel;
    o.axes = {.path = "made", .profile = profile, .kept = kept, .ranks = ranks};
    return of(o);
  }
  static Outcome evicted(const char* keep, const char* budget) {
    return of(kv::CacheOptions::parse(
        fmt::format("cache(keep={}, budget={}, window=32, tile=16)", keep, budget)));
  }
};

TEST_F(PlantedAxesQuality, FewerNumbersOfATokenAreWorthMoreThanFewerTokens) {
  const Outcome equal = along(0.4, kv::Ranks::kEqual), searched = along(0.2, kv::Ranks::kSearched);
  EXPECT_GE(equal.told, 0.8);
  EXPECT_GE(searched.told, 0.9);
  for (const char* keep : {"top(attention)", "top(attention(latest=32))"}) {
    const Outcome as_large = evicted(keep, "48%"), as_small = evicted(keep, "30%");
    EXPECT_GE(as_large.bits, equal.bits);
    EXPECT_LE(as_large.told, equal.told - 0.25) << keep;
    EXPECT_GE(as_small.bits, searched.bits);
    EXPECT_LE(as_small.told, searched.told - 0.5) << keep;
  }
  // Contradicted for a model that looks up all that it tells: a fifth of each head's axes is not
  // enough, however far back.
  EXPECT_LE(along(0.2, kv::Ranks::kEqual).told, 0.5);
}

TEST_F(PlantedAxesQuality, CodesOfFourBitsCostLittleMore) {
  const Outcome plain = along(0.2, kv::Ranks::kSearched),
                codes = along(0.2, kv::Ranks::kSearched, "uniform(4, group=32)");
  EXPECT_GE(codes.told, plain.told - 0.1);
  EXPECT_LE(codes.bits, 0.6 * plain.bits);
}

}  // namespace
}  // namespace pith::audit
