#include "pith/model/generate.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "pith/base/error.h"
#include "pith/io/text.h"
#include "stop_texts.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using testing::message_of;

const LanguageModel& small() {
  static const LanguageModel model = [] {
    const DecoderConfig config = testing::small_config();
    return make_model(testing::MemoryWeights(config, testing::random_tensors(config)));
  }();
  return model;
}

const LanguageModel& reference_model() {
  static const LanguageModel model = load_model(testing::source_root() / "data/lm");
  return model;
}

const auto kIgnore = [](std::string_view, int32_t) { return true; };

Generated written_by(const LanguageModel& model, const std::vector<int32_t>& prompt,
                     const GenerateOptions& options, int threads = 1, uint64_t capacity = 128) {
  Session session(model, capacity, threads);
  return generate(session, prompt, options, kIgnore);
}

// Token by token, by the definition.
TEST(Generate, GreedyIsTheLargestLogitOfEachStep) {
  const std::vector<int32_t> prompt = {1, 5, 9, 2};
  GenerateOptions options{.max_tokens = 20, .ignore_end = true};
  options.sampler.temperature = 0;
  const Generated written = written_by(small(), prompt, options);
  std::vector<int32_t> all = prompt;
  const auto ends = end_tokens(small());
  for (const int32_t id : written.ids) {
    Session session(small(), 128);
    const auto logits = session.feed(all).row(0);
    int32_t best = -1;
    for (int32_t i = 0; i < static_cast<int32_t>(logits.size()); ++i) {
      if (std::ranges::binary_search(ends, i)) continue;
      if (best < 0 || logits[static_cast<size_t>(i)] > logits[static_cast<size_t>(best)]) best = i;
    }
    EXPECT_EQ(id, best);
    all.push_back(id);
  }
  EXPECT_EQ(written.ids.size(), 20u);
  EXPECT_EQ(written.steps, 19u);
  EXPECT_EQ(written.prompt_tokens, 4u);
  EXPECT_EQ(written.stop, Stop::kLength);
  EXPECT_EQ(written.text, "");  // there is no tokenizer
}

TEST(Generate, SeedAndThreads) {
  GenerateOptions options{.max_tokens = 30, .ignore_end = true};
  options.sampler.temperature = 2;
  options.sampler.seed = 5;
  const auto first = written_by(small(), {1, 2}, options).ids;
  EXPECT_EQ(written_by(small(), {1, 2}, options, 2).ids, first);
  EXPECT_EQ(written_by(small(), {1, 2}, options, 3).ids, first);
  options.sampler.seed = 6;
  EXPECT_NE(written_by(small(), {1, 2}, options).ids, first);
}

TEST(Generate, TextIsThatOfTheTokens) {
  const Tokenizer& tokenizer = *reference_model().tokenizer();
  GenerateOptions options{.max_tokens = 40};
  options.sampler.seed = 3;
  std::string streamed;
  std::vector<int32_t> seen;
  Session session(reference_model(), 64);
  const Generated written = generate(session, tokenizer.encode("It was a dark night, and"), options,
                                     [&](std::string_view text, int32_t id) {
                                       EXPECT_EQ(io::utf8(text), text);
                                       streamed += text;
                                       if (id >= 0) seen.push_back(id);
                                       return true;
                                     });
  EXPECT_EQ(streamed, written.text);
  EXPECT_EQ(seen, written.ids);
  EXPECT_EQ(written.text, io::utf8(tokenizer.decode(written.ids, {.continues = true})));
  EXPECT_GT(std::ranges::count(written.text, ' '), 10);  // it has learned to write words
}

TEST(Generate, EndsWhereItShould) {
  GenerateOptions options{.max_tokens = 0, .ignore_end = true};
  Generated written = written_by(small(), {1, 2, 3}, options, 1, 10);
  EXPECT_EQ(written.stop, Stop::kContext);
  EXPECT_EQ(written.ids.size(), 8u);  // seven more are read, the last one is not

  Session session(small(), 50);
  int calls = 0;
  written = generate(session, std::vector<int32_t>{1}, options,
                     [&](std::string_view, int32_t) { return ++calls < 4; });
  EXPECT_EQ(written.stop, Stop::kAsked);
  EXPECT_EQ(written.ids.size(), 4u);

  // An end token that must come: everything else is forbidden.
  options.ignore_end = false;
  for (int32_t id = 0; id < static_cast<int32_t>(reference_model().config().vocabulary); ++id) {
    if (id != 2) options.sampler.logit_bias.emplace_back(id, -1e5);
  }
  written = written_by(reference_model(), {1, 300}, options);
  EXPECT_EQ(written.stop, Stop::kEnd);
  EXPECT_TRUE(written.ids.empty());
}

TEST(Generate, StopTexts) {
  const auto prompt = reference_model().tokenizer()->encode("The old man opened the door and");
  GenerateOptions options{.max_tokens = 60};
  options.sampler.temperature = 0;
  const std::string all = written_by(reference_model(), prompt, options).text;
  ASSERT_GT(all.size(), 40u);
  const std::string stop = all.substr(20, 6);
  options.stops = {"never there", stop};
  const Generated written = written_by(reference_model(), prompt, options);
  EXPECT_EQ(written.stop, Stop::kText);
  EXPECT_EQ(written.text, all.substr(0, all.find(stop)));
  EXPECT_EQ(all.find(written.text), 0u);
}

TEST(Generate, PartByPartItIsTheSameText) {
  const auto prompt = reference_model().tokenizer()->encode("The old man opened the door and");
  GenerateOptions options{.max_tokens = 30};
  options.stops = {"never", " there is no such"};
  const Generated whole = written_by(reference_model(), prompt, options);
  Session session(reference_model(), 128);
  Generation generation(session, prompt, options);
  std::string text;
  std::vector<int32_t> ids;
  while (const auto part = generation.next()) {
    text += part->text;
    if (part->id >= 0) ids.push_back(part->id);
    EXPECT_EQ(generation.written().text, text);
    EXPECT_EQ(generation.written().ids, ids);
  }
  EXPECT_EQ(text, whole.text);
  EXPECT_EQ(ids, whole.ids);
  EXPECT_EQ(generation.written().stop, whole.stop);
  EXPECT_EQ(generation.written().steps, whole.steps);
  EXPECT_FALSE(generation.next());  // and stays at its end
  generation.stop();
  EXPECT_EQ(generation.written().stop, whole.stop);
}

TEST(Generate, WhatIsHeldBackComesWhenAskedToStop) {
  const auto prompt = reference_model().tokenizer()->encode("The old man opened the door and");
  GenerateOptions options{.max_tokens = 3};
  options.sampler.temperature = 0;
  const std::string text = written_by(reference_model(), prompt, options).text;
  options.max_tokens = 0;
  options.stops = {text + "\x01"};  // all of it could be its beginning
  Session session(reference_model(), 128);
  Generation generation(session, prompt, options);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(generation.next()->text, "");
  generation.stop();
  const auto rest = generation.next();
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->text, text);
  EXPECT_EQ(rest->id, -1);
  EXPECT_FALSE(generation.next());
  EXPECT_EQ(generation.written().stop, Stop::kAsked);
}

TEST(Generate, ContinuesASession) {
  GenerateOptions options{.max_tokens = 5, .ignore_end = true};
  options.sampler.temperature = 0;
  Session session(small(), 64);
  session.feed(std::vector<int32_t>{4, 7}, Logits::kNone);
  const auto ids = generate(session, std::vector<int32_t>{9}, options, kIgnore).ids;
  EXPECT_EQ(ids, written_by(small(), {4, 7, 9}, options).ids);
}

TEST(Generate, RefusesWhatCannotBe) {
  EXPECT_THROW(written_by(small(), {}, {}), Error);
  EXPECT_THROW(written_by(small(), {1, 2, 3, 4}, {.max_tokens = 1}, 1, 3), Error);
  EXPECT_THROW(written_by(small(), {1 << 20}, {.max_tokens = 1}), Error);
  GenerateOptions stopped{.max_tokens = 1};
  stopped.stops.emplace_back();
  EXPECT_THROW(written_by(small(), {1}, stopped), Error);
  stopped.stops.clear();
  stopped.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_THROW(written_by(small(), {1}, stopped), Error);
}

// However the text is cut into parts, it ends before the first stop text, and what is given out
// early is never taken back.
RC_GTEST_PROP(StopTextsProperty, CutTheTextBeforeTheFirst, ()) {
  const auto letters = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
  const auto stops = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(letters));
  const auto parts = *rc::gen::container<std::vector<std::string>>(letters);
  StopTexts filter(stops);
  std::string all, given;
  for (const std::string& part : parts) {
    all += part;
    given += filter.push(part);
    if (filter.found()) break;
  }
  size_t end = std::string::npos;
  for (const std::string& stop : stops) end = std::min(end, all.find(stop));
  RC_ASSERT(filter.found() == (end != std::string::npos));
  RC_ASSERT(given + filter.finish() == all.substr(0, end));
}

}  // namespace
}  // namespace pith::model
