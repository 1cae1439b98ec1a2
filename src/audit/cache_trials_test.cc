#include "pith/audit/cache_trials.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "pith/audit/planted_facts.h"
#include "pith/base/error.h"
#include "pith/model/axes_profile.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

using kv::CacheOptions;

const model::LanguageModel& reference_model() {
  static const model::LanguageModel model = model::load_model(
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / "data/lm");
  return model;
}

std::vector<int32_t> ids() {
  return model::text_ids(
      reference_model(),
      "The old man opened the door and looked out into the night. There was nothing to be seen, "
      "and he went back to the fire. The wind had risen, and from the hill came the sound of a "
      "bell that nobody had rung for many years. He sat down again, and waited until morning.");
}

Trial trial(uint64_t prompt, uint64_t follows) {
  const std::vector<int32_t> all = ids();
  EXPECT_GE(all.size(), prompt + follows);
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(prompt);
  return {{all.begin(), middle}, {middle, middle + static_cast<std::ptrdiff_t>(follows)}};
}

TEST(CacheTrials, FullCachesGiveTheLossOfEachToken) {
  const Trial t = trial(20, 19);
  const CacheTrials trials(reference_model(), {t});
  model::Session session(reference_model(), 64);
  double sum = 0;
  std::vector<int32_t> read = t.prompt;
  for (const int32_t next : t.follows) {
    const auto logits = session.feed(read).row(0);
    double total = 0;
    for (const float x : logits) total += std::exp(static_cast<double>(x));
    sum += std::log(total) - static_cast<double>(logits[static_cast<size_t>(next)]);
    read = {next};
  }
  EXPECT_EQ(trials.full().tokens, 19U);
  EXPECT_NEAR(trials.full().loss, sum / 19, 1e-4);
  EXPECT_EQ(trials.full().divergence, 0);
  EXPECT_EQ(trials.full().same_best, 1);
  EXPECT_EQ(trials.full().bits, 16);
}

TEST(CacheTrials, WhatLosesNothingDivergesByRoundingOnly) {
  const CacheTrials trials(reference_model(), {trial(40, 24), trial(33, 16)});
  const auto cache = CacheOptions::parse("cache(dense(f32), window=0, tile=16)");
  for (const Reading reading : {Reading::kPieces, Reading::kWhole}) {
    const TrialOutcome o = trials.judge(cache, reading);
    EXPECT_EQ(o.tokens, 40U);
    EXPECT_LT(o.divergence, 1e-8);
    EXPECT_NEAR(o.loss, trials.full().loss, 1e-5);
    EXPECT_GT(o.bits, 16);
  }
}

TEST(CacheTrials, WhatLosesAllDivergesAndHoldsLittle) {
  const CacheTrials trials(reference_model(), {trial(40, 24)});
  const auto cache = CacheOptions::parse("cache(zeros, window=0, tile=16)");
  const TrialOutcome o = trials.judge(cache, Reading::kPieces);
  EXPECT_GT(o.divergence, 0.05);
  EXPECT_LT(o.same_best, 1);
  EXPECT_LT(o.bits, 8);
  EXPECT_DOUBLE_EQ(o.bits, trials.bits(cache, Reading::kPieces));
}

// A prompt that is read in one piece sees itself as it is; so does what comes next of it.
TEST(CacheTrials, WholePromptsLoseNothingBeforeTheirEnd) {
  const CacheTrials trials(reference_model(), {trial(48, 1)});
  const auto cache = CacheOptions::parse("cache(zeros, window=0, tile=16)");
  EXPECT_LT(trials.judge(cache, Reading::kWhole).divergence, 1e-8);
  EXPECT_GT(trials.judge(cache, Reading::kPieces).divergence, 1e-3);
}

// What is asked when the prompt has been read is asked of what is left of it.
TEST(CacheTrials, QuestionsComeWhenTokensHaveLeft) {
  Trial asked = trial(48, 1);
  asked.question.assign(asked.prompt.end() - 2, asked.prompt.end());
  asked.prompt.resize(46);
  const CacheTrials trials(reference_model(), {asked});
  EXPECT_NEAR(trials.full().loss, CacheTrials(reference_model(), {trial(48, 1)}).full().loss, 1e-5);
  const auto cache = CacheOptions::parse("cache(zeros, window=0, tile=16)");
  EXPECT_GT(trials.judge(cache, Reading::kWhole).divergence, 1e-3);
  EXPECT_LT(trials.bits(cache, Reading::kWhole), 8);
}

// 64 tokens: 16 + 16 + 16 leave behind a window of 10, before the last feed and after it.
TEST(CacheTrials, ChunksGoThroughTheirCodingAsTheyLeave) {
  const CacheTrials trials(reference_model(), {trial(40, 24)});
  const auto chunks = [](const char* coding) {
    return ChunkedCache{kv::ChunkCoding::parse(coding), 10, 16};
  };
  for (const Reading reading : {Reading::kPieces, Reading::kWhole}) {
    const TrialOutcome same = trials.judge(chunks("dense(f32)"), reading);
    EXPECT_LT(same.divergence, 1e-8);
    EXPECT_NEAR(same.bits, (48 * 32 + 15 * 16) / 63.0, 0.6);  // what chunks say of themselves
    const TrialOutcome none = trials.judge(chunks("zeros"), reading);
    EXPECT_GT(none.divergence, 0.01);
    EXPECT_DOUBLE_EQ(none.bits, trials.bits(chunks("zeros"), reading));
    const TrialOutcome stream = trials.judge(chunks("stream(level=4)"), reading);
    EXPECT_LT(stream.divergence, 0.1 * none.divergence);
    EXPECT_LT(stream.bits, 12);
  }
  // What it reads is what a session of such tiles would hold.
  const TrialOutcome tiles = trials.judge(
      CacheOptions::parse("cache(uniform(4, group=32), keys_by=channel, window=10, tile=16)"),
      Reading::kPieces);
  const TrialOutcome coded = trials.judge(
      chunks("cache(keys=uniform(4, group=32), values=uniform(4, group=32))"), Reading::kPieces);
  EXPECT_NEAR(coded.divergence, tiles.divergence, 0.2 * tiles.divergence);
  EXPECT_THROW(trials.judge(ChunkedCache{kv::ChunkCoding::parse("zeros"), 10, 0}, Reading::kPieces),
               Error);
}

// That model turns 32 of 96 elements of a head, with another base than most.
TEST(CacheTrials, StreamsUndoTheRotationOfTheModel) {
  const model::LanguageModel model = make_recall_model();
  const kv::Rotation own = model::rotation_of(model.config());
  ASSERT_NE(own.base, 10000);
  ASSERT_EQ(own.frequencies.size(), 16);
  const std::vector<int32_t> facts = plant_facts(1, 128, 8, 1)[0].ids;
  model::Session session(model, facts.size());
  session.feed(facts, model::Logits::kNone);
  const kv::Arrays cache = session.keys_values(0, 64);
  const auto stream = kv::ChunkCoding::parse("stream(bits=3)");
  const auto error = [&](const kv::ChunkCoding& coding) {
    const kv::Arrays back = kv::decode_chunk(coding.encode(cache));
    double sum = 0;
    for (size_t i = 0; i < cache.keys.size(); ++i)
      sum += std::pow(double{back.keys[i]} - cache.keys[i], 2);
    return sum;
  };
  EXPECT_LT(error(stream.with_rotation(own)), 0.5 * error(stream));
  // So do the chunks that are judged.
  const CacheTrials trials(model, {{facts, {facts[0]}}});
  const auto chunks = [&](const char* coding) {
    return ChunkedCache{kv::ChunkCoding::parse(coding), 10, 64};
  };
  EXPECT_LT(trials.bits(chunks("stream(level=4, base=30)"), Reading::kPieces), 16);
  EXPECT_THROW(trials.bits(chunks("stream(level=4, base=10000)"), Reading::kPieces), Error);
}

// What is known to be asked of it chooses what is left.
TEST(CacheTrials, QuestionsAreKnownToCachesThatAskForThem) {
  Trial asked = trial(48, 4);
  asked.question.assign(asked.prompt.end() - 4, asked.prompt.end());
  asked.prompt.resize(44);
  const CacheTrials trials(reference_model(), {asked});
  const auto judge = [&](std::string_view prompts, Reading reading) {
    return trials.judge(CacheOptions::parse(fmt::format("cache(keep=top(attention), budget=40%, "
                                                        "window=0, tile=16, prompts={})",
                                                        prompts)),
                        reading);
  };
  const double known = judge("asked", Reading::kWhole).divergence;
  EXPECT_EQ(known, judge("asked", Reading::kPieces).divergence);
  EXPECT_NE(known, judge("pieces", Reading::kWhole).divergence);
  // Where nothing is asked it is as any other.
  const CacheTrials none(reference_model(), {trial(48, 4)});
  const auto cache = [](const char* text) { return CacheOptions::parse(text); };
  EXPECT_EQ(none.judge(cache("cache(keep=top(attention), budget=40%, window=0, tile=16, "
                             "prompts=asked)"),
                       Reading::kPieces)
                .divergence,
            none.judge(cache("cache(keep=top(attention), budget=40%, window=0, tile=16)"),
                       Reading::kPieces)
                .divergence);
}

TEST(CacheTrials, AnAnswerIsExactWhereAllOfItIsThoughtMostProbable) {
  Trial told = trial(30, 6);
  model::Session session(reference_model(), 64);
  std::vector<int32_t> read = told.prompt;
  for (int32_t& next : told.follows) {
    const auto logits = session.feed(read).row(0);
    next = static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
    read = {next};
  }
  Trial other = told;
  other.follows.back() = other.follows.back() == 7 ? 8 : 7;
  EXPECT_EQ(CacheTrials(reference_model(), {told}).full().exact, 1);
  EXPECT_EQ(CacheTrials(reference_model(), {told, other}).full().exact, 0.5);
}

TEST(CacheTrials, ThreadsChangeNothing) {
  const auto cache = CacheOptions::parse("cache(uniform(2, group=32), window=0, tile=32)");
  const TrialOutcome one =
      CacheTrials(reference_model(), {trial(40, 24)}, 1).judge(cache, Reading::kPieces);
  const TrialOutcome two =
      CacheTrials(reference_model(), {trial(40, 24)}, 2).judge(cache, Reading::kPieces);
  EXPECT_EQ(one.divergence, two.divergence);
  EXPECT_EQ(one.loss, two.loss);
}

TEST(CacheTrials, RefusesWhatMeasuresNothing) {
  const auto& m = reference_model();
  EXPECT_THROW(CacheTrials(m, {}), Error);
  EXPECT_THROW(CacheTrials(m, {Trial{{}, {5}}}), Error);
  EXPECT_THROW(CacheTrials(m, {Trial{{5}, {}}}), Error);
  EXPECT_THROW(CacheTrials(m, {Trial{{5}, {-1}}}), Error);
  EXPECT_THROW(CacheTrials(m, {Trial{{5}, {1 << 20}}}), Error);
  EXPECT_THROW(CacheTrials(m, {Trial{{1 << 20}, {5}}}), Error);
  EXPECT_EQ(CacheTrials(m, {Trial{{5}, {6}}}).full().tokens, 1U);
}

}  // namespace
}  // namespace pith::audit
