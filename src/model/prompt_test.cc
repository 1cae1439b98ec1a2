#include "pith/model/prompt.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <fstream>

#include "pith/base/error.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using testing::message_of;

std::vector<int32_t> counting(size_t n) {
  std::vector<int32_t> ids(n);
  for (size_t i = 0; i < n; ++i) ids[i] = static_cast<int32_t>(i + 1);
  return ids;
}

DecoderConfig made_for(uint64_t context) {
  DecoderConfig config;
  config.context = context;
  config.bos = 1;
  return config;
}

TEST(FitPrompt, RoomIsWhatIsNeededOrWhatIsAskedFor) {
  auto ids = counting(10);
  EXPECT_EQ(fit_prompt(made_for(100), ids, {.max_tokens = 5}), 15u);
  EXPECT_EQ(fit_prompt(made_for(100), ids, {.max_tokens = 500}), 100u);
  EXPECT_EQ(fit_prompt(made_for(100), ids, {.max_tokens = UINT64_MAX}), 100u);
  EXPECT_EQ(fit_prompt(made_for(100), ids, {}), 100u);
  EXPECT_EQ(fit_prompt(made_for(100), ids, {.context = 200, .max_tokens = 5}), 200u);
  EXPECT_EQ(fit_prompt(made_for(10), ids, {.max_tokens = 5}), 10u);
  EXPECT_EQ(ids, counting(10));
}

TEST(FitPrompt, RefusesWhatDoesNotFit) {
  auto none = counting(0), ids = counting(10);
  EXPECT_SAYS([&] { fit_prompt(made_for(100), none, {}); }, "empty");
  EXPECT_SAYS([&] { fit_prompt(made_for(9), ids, {}); }, "10 tokens, the context has room for 9");
  EXPECT_SAYS([&] { fit_prompt(made_for(100), ids, {.context = 4}); }, "room for 4");
}

TEST(FitPrompt, TruncationKeepsBosAndTheEnd) {
  auto ids = counting(10);
  EXPECT_EQ(fit_prompt(made_for(8), ids, {.max_tokens = 3, .truncate = true}), 8u);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 7, 8, 9, 10}));
  ids = counting(10);
  ids.front() = 5;
  fit_prompt(made_for(8), ids, {.max_tokens = 3, .truncate = true});
  EXPECT_EQ(ids, (std::vector<int32_t>{6, 7, 8, 9, 10}));
}

RC_GTEST_PROP(FitPromptProperty, TruncatedPromptsFitWithRoomForAnAnswer, ()) {
  auto ids = counting(*rc::gen::inRange<size_t>(1, 50));
  const uint64_t context = *rc::gen::inRange<uint64_t>(1, 60),
                 tokens = *rc::gen::inRange<uint64_t>(0, 60);
  const auto before = ids;
  const uint64_t room = fit_prompt(made_for(context), ids, {0, tokens, true});
  RC_ASSERT(room <= context && !ids.empty() && ids.size() <= room);
  RC_ASSERT(ids.back() == before.back());
  if (before.size() <= context) RC_ASSERT(ids == before);
  if (ids.size() > 1) RC_ASSERT(ids.front() == 1);
}

TEST(ChatPrompt, NamesOfControlTokensAreTheseTokens) {
  const testing::Folder folder;
  for (const char* name : {"config.json", "tokenizer.model", "model.safetensors"}) {
    std::filesystem::create_symlink(
        std::filesystem::absolute(testing::source_root()) / "data/lm" / name, folder.path() / name);
  }
  EXPECT_FALSE(chat_template_of(load_model(folder.path())));
  std::ofstream(folder.path() / "chat_template.jinja")
      << "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";
  const LanguageModel model = load_model(folder.path());
  const auto chat = chat_template_of(model);
  ASSERT_TRUE(chat);
  const std::vector<ChatMessage> talk = {{"user", "Who is it?"}};
  const std::string text = chat_text(model, *chat, talk);
  EXPECT_EQ(text, "<s>Who is it?</s>");
  const auto ids = chat_ids(model, text);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
  EXPECT_EQ(std::ranges::count(ids, 1), 1);

  std::ofstream(folder.path() / "chat_template.jinja") << "{% if %}";
  const LanguageModel broken = load_model(folder.path());
  EXPECT_SAYS([&] { chat_template_of(broken); }, folder.path().string());
}

TEST(ChatPrompt, ModelsWithoutATokenizerSaySo) {
  const DecoderConfig config = testing::small_config();
  const auto model = make_model(testing::MemoryWeights(config, testing::random_tensors(config)));
  EXPECT_SAYS([&] { tokenizer_of(model); }, "no tokenizer");
  EXPECT_FALSE(chat_template_of(model));
}

}  // namespace
}  // namespace pith::model
