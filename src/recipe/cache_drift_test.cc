// What caches lose the longer a text goes on: as it is generated behind a short prompt, and far
// beyond the length that the model was trained for.
#include <gtest/gtest.h>

#include <numeric>
#include <optional>

#include "../model/testing_sessions.h"
#include "../weights/testing_reference.h"
#include "pith/base/file.h"
#include "pith/model/prompt.h"
#include "pith/recipe/cache_recipes.h"

namespace pith::recipe {
namespace {

using model::Logits;
using model::Session;

const model::LanguageModel& reference() { return weights::testing::reference().model; }

// Tokens of the text of the repository, behind bos.
std::vector<int32_t> text(uint64_t tokens) {
  const Bytes bytes = read_file(model::testing::source_root() / "data/text/calibration.txt");
  std::vector<int32_t> ids = {*reference().tokenizer()->bos()};
  const auto read =
      model::text_ids(reference(), std::string(bytes.begin(), bytes.begin() + 6 * tokens));
  ids.insert(ids.end(), read.begin(), read.begin() + static_cast<std::ptrdiff_t>(tokens));
  return ids;
}

// Of what is generated behind a prompt of 64 tokens.
struct Growth {
  double early = 0, late = 0, bits = 0;  // divergences of its first and last third
  double grown() const { return late - early; }
};
constexpr uint64_t kPrompt = 64, kDecoded = 768, kAtATime = 16;

class Decoding {
 public:
  Decoding() : ids_(text(kPrompt + kDecoded)) { read({}, full_); }

  Growth of(const std::string& cache) const {
    std::vector<std::vector<float>> rows;
    Growth g;
    g.bits = read(cache_options(cache), rows);
    constexpr uint64_t kThird = kDecoded / 3;
    for (uint64_t i = 0; i < kThird; ++i) {
      g.early += model::testing::divergence(full_[i], rows[i]) / kThird;
      g.late += model::testing::divergence(full_[i + 2 * kThird], rows[i + 2 * kThird]) / kThird;
    }
    return g;
  }

 private:
  // What is held at the end, bits a number.
  double read(const std::optional<kv::CacheOptions>& cache,
              std::vector<std::vector<float>>& rows) const {
    Session s(reference(), ids_.size(), 2, 0, cache);
    s.feed(std::span(ids_).first(kPrompt), Logits::kNone);
    for (uint64_t at = 0; at < kDecoded; at += kAtATime) {
      const auto m = s.feed(std::span(ids_).subspan(kPrompt + at, kAtATime), Logits::kAll);
      for (uint64_t r = 0; r < kAtATime; ++r) rows.emplace_back(m.row(r).begin(), m.row(r).end());
    }
    return static_cast<double>(s.held_bits()) / static_cast<double>(s.read_numbers());
  }

  std::vector<int32_t> ids_;
  std::vector<std::vector<float>> full_;
};

TEST(CacheDriftQuality, RanksAndOutliersSlowWhatCodesLoseButMoreBitsDoSoMore) {
  const Decoding decoding;
  const Growth gear = decoding.of("gear"),
               codes = decoding.of("cache(uniform(2, group=64), window=32, tile=64)"),
               finer = decoding.of("cache(uniform(4, group=64), window=32, tile=64)");
  EXPECT_GT(codes.grown(), 0);
  EXPECT_LT(gear.grown(), 0.5 * codes.grown());
  // Contradicted at equal bytes.
  EXPECT_LT(finer.bits, gear.bits);
  EXPECT_LT(finer.late, 0.5 * gear.late);
  EXPECT_LT(finer.grown(), 0.7 * gear.grown());
}

// Mean loss of the last third of 3072 tokens, three times the trained length.
double far_loss(const std::optional<kv::CacheOptions>& cache) {
  constexpr uint64_t kTokens = 3072, kStep = 256, kLast = 1024;
  static const std::vector<int32_t> ids = text(kTokens);
  Session s(reference(), ids.size(), 2, 0, cache);
  double sum = 0;
  for (uint64_t at = 0; at < kTokens; at += kStep) {
    const bool counts = at + kLast >= kTokens;
    const auto rows =
        s.feed(std::span(ids).subspan(at, kStep), counts ? Logits::kAll : Logits::kNone);
    for (uint64_t r = 0; r < rows.shape.rows; ++r) {
      std::vector<float> wanted(rows.shape.cols, -1e9F);
      wanted[static_cast<size_t>(ids[at + r + 1])] = 0;
      sum += model::testing::divergence(wanted, rows.row(r)) / kLast;
    }
  }
  return sum;
}
double far_loss(const std::string& keep, const std::string& more) {
  return far_loss(
      kv::CacheOptions::parse(fmt::format("cache(keep={}, window=32, tile=16, {})", keep, more)));
}

// Half of what is held are the first tokens.
TEST(CacheDriftQuality, ADeepSinkDriftsLessWhereItIsTurned) {
  const std::string deep = "sink(128) + top(attention(latest=32))";
  const double turned = far_loss(deep, "budget=256, positions=cache");
  EXPECT_LT(turned, far_loss(deep, "budget=256"));
  EXPECT_LT(turned, far_loss({}) - 0.05);
}

// Contradicted on text.
TEST(CacheDriftQuality, TheLatestTokensAloneDriftLessThanADeepSink) {
  EXPECT_LT(far_loss("top(recency)", "budget=256"),
            far_loss("sink(128) + top(attention(latest=32))", "budget=256, positions=cache"));
}

TEST(CacheDriftQuality, WhatIsChosenForALayerDriftsLessWhereItIsTurned) {
  const std::string keep = "top(attention(latest=64))";
  EXPECT_LT(far_loss(keep, "budget=512, positions=cache, together=true"),
            far_loss(keep, "budget=512, together=true") - 0.005);
}

}  // namespace
}  // namespace pith::recipe
