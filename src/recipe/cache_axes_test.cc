// What caches along the axes of heads lose on the reference model, and recipes that need a profile.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "../model/testing_sessions.h"
#include "../model/tokenizer_testing.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/random.h"
#include "pith/form/expression.h"
#include "pith/model/axes_profile.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"
#include "pith/recipe/cache_recipes.h"
#include "pith/recipe/cache_sizes.h"

namespace pith::recipe {
namespace {

using kv::Profile;
using model::testing::divergence;

constexpr uint64_t kRead = 384, kPredicted = 128, kCaches = 8;

struct Outcome {
  double bits = 0, divergence = 0;
};

// Profiles of most of a text, and what caches lose at its end.
class Reference {
 public:
  Reference() : model(model::load_model(model::testing::source_root() / "data/lm")) {
    const Bytes bytes = read_file(model::testing::source_root() / "data/text/calibration.txt");
    const std::string all(bytes.begin(), bytes.end());
    // From all of it but the end.
    const uint64_t step = (all.size() - 20000) / kCaches;
    for (uint64_t c = 0; c < kCaches; ++c) {
      const std::vector<int32_t> part = model::text_ids(model, all.substr(c * step, 4000));
      first.insert(first.end(), part.begin(), part.begin() + kRead);
    }
    ids_ = model::text_ids(model, all.substr(all.size() - 6000));
    ids_.resize(kRead + kPredicted);
    model::Session session(model, ids_.size());
    session.feed(std::span(ids_).first(kRead), model::Logits::kNone);
    const form::MatrixView logits =
        session.feed(std::span(ids_).subspan(kRead), model::Logits::kAll);
    logits_.assign(logits.data, logits.data + logits.shape.size());
  }

  Profile principal() const {
    std::vector<kv::Arrays> caches;
    for (uint64_t c = 0; c < kCaches; ++c) {
      model::Session session(model, kRead);
      session.feed(std::span(first).subspan(c * kRead, kRead), model::Logits::kNone);
      caches.push_back(session.keys_values(0, kRead));
    }
    return kv::fit_profile(
        caches, {.joined = kv::Joined::kHead, .rotation = model::rotation_of(model.config())});
  }
  Profile of_least_loss() const {
    return model::attention_profile(model, first, {.context = kRead, .texts = kCaches}, 0);
  }
  // Tokens beyond kRead are read 16 at a time.
  Outcome outcome(kv::CacheOptions options) const {
    model::Session s(model, ids_.size(), 0, 0, std::move(options));
    s.feed(std::span(ids_).first(kRead), model::Logits::kNone);
    Outcome o;
    for (uint64_t at = 0; at < kPredicted; at += 16) {
      const auto rows = s.feed(std::span(ids_).subspan(kRead + at, 16), model::Logits::kAll);
      for (uint64_t r = 0; r < 16; ++r) {
        const std::span<const float> wanted(logits_.data() + (at + r) * rows.shape.cols,
                                            rows.shape.cols);
        o.divergence += divergence(wanted, rows.row(r)) / kPredicted;
      }
    }
    o.bits = static_cast<double>(s.held_bits()) / static_cast<double>(s.read_numbers());
    return o;
  }

  model::LanguageModel model;
  std::vector<int32_t> first;

 private:
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
};

const Reference& reference() {
  static const Reference r;
  return r;
}

const Profile& least_loss() {
  static const Profile p = reference().of_least_loss();
  return p;
}

// A recipe along the axes of a profile that is in no file.
kv::CacheOptions along(const Profile& profile, double kept, kv::Ranks ranks,
                       const std::string& form = "dense(f16)", uint64_t window = 32) {
  kv::CacheOptions o =
      kv::CacheOptions::parse(fmt::format("cache({}, window={}, tile=32)", form, window));
  o.values.by = kv::By::kChannel;
  o.axes = {.path = "made",
            .profile = std::make_shared<const Profile>(profile),
            .kept = kept,
            .ranks = ranks};
  return o;
}

TEST(CacheAxesQuality, AFifthOfTheAxesOfLeastLoss) {
  const auto fifth = [](const Profile& p, const char* form = "dense(f16)", uint64_t window = 32) {
    return reference().outcome(along(p, 0.2, kv::Ranks::kEqual, form, window));
  };
  const Outcome best = fifth(least_loss());
  EXPECT_LT(best.divergence, 0.9 * fifth(model::weight_profile(reference().model)).divergence);
  EXPECT_GT(fifth(least_loss(), "dense(f16)", 0).divergence, 1.5 * best.divergence);
  const Outcome coarse = fifth(least_loss(), "uniform(4, group=32)");
  EXPECT_LT(coarse.divergence, 1.3 * best.divergence);
  EXPECT_LT(coarse.bits, 0.6 * best.bits);
  const Outcome fewer = reference().outcome(
      kv::CacheOptions::parse("cache(keep=top(attention), budget=29%, window=32, tile=16)"));
  EXPECT_GT(fewer.bits, best.bits);
  EXPECT_LT(best.divergence, fewer.divergence);
}

TEST(CacheAxesQuality, RanksThatAreSearchedLoseLessThanEqualOnes) {
  double before = 0;
  for (const double kept : {0.75, 0.6, 0.4, 0.25}) {
    const double searched =
        reference().outcome(along(least_loss(), kept, kv::Ranks::kSearched)).divergence;
    EXPECT_LT(searched,
              0.8 * reference().outcome(along(least_loss(), kept, kv::Ranks::kEqual)).divergence)
        << kept;
    EXPECT_GT(searched, before) << kept;
    before = searched;
  }
}

TEST(CacheAxesQuality, FewCosinesOfChannelsThatMatterLittle) {
  const Profile channels = kv::along_channels(reference().principal());
  const Profile measured =
      model::ordered_by_harm(reference().model, channels, reference().first,
                             {.context = 256, .queries = 32, .near = 32, .texts = 2}, 0);
  std::vector<std::vector<float>> drawn;
  for (size_t s = 0; s < channels.spans.size(); ++s) {
    drawn.emplace_back();
    for (uint64_t a = 0; a < channels.spans[s].count(); ++a)
      drawn.back().push_back(static_cast<float>(random_unit(s, a)));
  }
  const Profile any = kv::ordered_by(channels, drawn);
  const auto lost = [](const Profile& p, double kept, const char* rest) {
    kv::CacheOptions o = along(p, kept, kv::Ranks::kSearched);
    o.tile = kv::kTileTokens;
    o.sink = 4;
    if (rest != nullptr) o.axes->rest = form::parse(rest);
    return reference().outcome(o);
  };
  const char* few = "dct | tiles(part(dense(f16), cols=0..8), part(zeros, cols=8..))";
  const Outcome cosines = lost(measured, 0.5, few), none = lost(measured, 0.54, nullptr);
  EXPECT_LE(cosines.bits, none.bits);
  EXPECT_LT(cosines.divergence, none.divergence);
  EXPECT_LT(cosines.divergence, 0.5 * lost(any, 0.5, few).divergence);
}

TEST(CacheAxes, RecipesAskForTheirProfile) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("pith-recipe-axes-" + std::to_string(::getpid()));
  kv::Arrays made{
      .heads = {1}, .first = 0, .tokens = 80, .head_size = 16, .keys = {}, .values = {}};
  for (uint64_t i = 0; i < made.size(); ++i) {
    made.keys.push_back(static_cast<float>(random_normal(1, i)));
    made.values.push_back(static_cast<float>(random_normal(2, i)));
  }
  const Profile profile = kv::fit_profile(std::span(&made, 1), {.joined = kv::Joined::kHead});
  write_file(path, profile.bytes(), true);
  uint64_t asking = 0;
  for (const CacheRecipe& r : all_cache_recipes()) {
    if (r.of_chunks) {
      if (r.profile.empty()) continue;
      EXPECT_NE(r.example().find("--kv-coding-profile"), std::string::npos);
      EXPECT_THROW(chunk_coding(r.name), Error) << r.name;
      EXPECT_EQ(chunk_coding(r.name, path.string()).profile()->id, profile.id);
      continue;
    }
    EXPECT_EQ(needs_profile(r.name), !r.profile.empty()) << r.name;
    if (!needs_profile(r.name)) continue;
    ++asking;
    EXPECT_NE(r.example().find("pith kv profile"), std::string::npos);
    EXPECT_THROW(cache_options(r.name), Error) << r.name;
    const kv::CacheOptions o = cache_options(r.name, {}, path.string());
    EXPECT_EQ(o.axes->profile->id, profile.id);
    EXPECT_GT(o.tile_bits(16), 0);
    const std::vector<std::string> sizes = sizes_of_cache(o.text(), 16);
    ASSERT_EQ(sizes.size(), 100U) << r.name;
    const uint64_t least = kv::CacheOptions::parse(sizes.front()).tile_bits(16),
                   most = kv::CacheOptions::parse(sizes.back()).tile_bits(16);
    EXPECT_LT(least, most / 2) << r.name;
    EXPECT_LT(least, o.tile_bits(16)) << r.name;
    EXPECT_LT(o.tile_bits(16), most) << r.name;
  }
  EXPECT_EQ(asking, 3);
  EXPECT_THROW(cache_options("uniform(4)", {}, path.string()), Error);
  EXPECT_TRUE(cache_options("cache(uniform(4), profile=$profile)", {}, path.string()).axes);
  EXPECT_THROW(cache_options("cache(uniform(4), profile=$profile)"), Error);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace pith::recipe
