// Folders as Hugging Face lays them out.
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

class LoadTokenizer : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pith-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void put(std::string_view name, std::string_view content) {
    AtomicFile file(folder_ / name, true);
    file.write(as_bytes(content));
    file.commit();
  }
  void put_reference() {
    std::filesystem::copy_file(source_root() / "data/lm/tokenizer.model",
                               folder_ / "tokenizer.model");
  }
  void put_byte_level() {
    std::filesystem::copy_file(golden("byte_level.json"), folder_ / "tokenizer.json");
  }
  Tokenizer load() const { return load_tokenizer(folder_); }

  std::filesystem::path folder_;
};

TEST_F(LoadTokenizer, ReadsTheReferenceModel) {
  EXPECT_EQ(reference().size(), 4096);
  EXPECT_EQ(reference().bos(), 1);
  EXPECT_EQ(reference().eos(), 2);
  EXPECT_EQ(reference().unk(), 0);
  EXPECT_TRUE(reference().adds_bos());
  EXPECT_EQ(reference().kind(0), PieceKind::kUnknown);
  EXPECT_EQ(reference().kind(1), PieceKind::kControl);
  EXPECT_EQ(reference().kind(*reference().find("<0x0A>")), PieceKind::kByte);
  EXPECT_EQ(reference().kind(*reference().find("\n")), PieceKind::kUserDefined);
  EXPECT_EQ(reference().text(*reference().find("\u2581the")), " the");
  EXPECT_EQ(reference().find("no such piece"), std::nullopt);
  EXPECT_EQ(reference().encode("", {}), (Ids{1}));
  EXPECT_EQ(reference().encode("", {.add_bos = false}), Ids());
}

TEST_F(LoadTokenizer, TakesTokenizerJsonFirst) {
  put_reference();
  put_byte_level();
  EXPECT_EQ(load().algorithm(), "byte-level BPE");
}

TEST_F(LoadTokenizer, TakesNamesTokensAndTemplateFromTheOtherFiles) {
  put_reference();
  put("tokenizer_config.json", R"({
    "add_bos_token": false, "chat_template": "{{ x }}", "eos_token": {"content": "<|end|>"},
    "added_tokens_decoder": {
      "4097": {"content": "<|end|>", "special": true},
      "4096": {"content": "<tool>", "special": false}}})");
  put("special_tokens_map.json", R"({"bos_token": "<s>", "eos_token": "</s>"})");
  put("added_tokens.json", R"({"<tool>": 4096, "<more>": 4098})");
  put("config.json", R"({"eos_token_id": [7, 8]})");
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.size(), 4099);
  EXPECT_EQ(tokenizer.eos(), 4097);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_FALSE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.chat_template(), "{{ x }}");
  EXPECT_EQ(tokenizer.kind(4096), PieceKind::kUserDefined);
  EXPECT_EQ(tokenizer.kind(4097), PieceKind::kControl);
  const Ids ids = tokenizer.encode("a<tool>b<|end|>", {.parse_special = true});
  EXPECT_EQ(ids.back(), 4097);
  EXPECT_EQ(std::ranges::count(ids, 4096), 1);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<|end|>")), "<|end|>");
}

TEST_F(LoadTokenizer, PutsTheSpaceInFrontOnlyOnceUnlessLegacy) {
  put_reference();
  const auto second = [&] { return load().encode("a</s>a", {.parse_special = true})[3]; };
  EXPECT_EQ(reference().piece(second()), "\u2581a");
  put("tokenizer_config.json", R"({"legacy": false})");
  EXPECT_EQ(reference().piece(second()), "a");
}

TEST_F(LoadTokenizer, TakesTheTemplateNamedDefaultAndTheJinjaFile) {
  put_byte_level();
  put("tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(load().chat_template(), "d");
  put("chat_template.jinja", "from the file");
  EXPECT_EQ(load().chat_template(), "from the file");
}

TEST_F(LoadTokenizer, TakesIdsOfTheConfigurationWhereNoNamesStand) {
  put_byte_level();
  put("config.json", R"({"bos_token_id": 3, "eos_token_id": [5, 6]})");
  EXPECT_EQ(load().eos(), 5);
  EXPECT_EQ(load().piece(*load().bos()), "<|begin_of_text|>");  // the post-processor named it
}

TEST_F(LoadTokenizer, NamesTheFileThatIsWrong) {
  EXPECT_SAYS([&] { load(); }, "there is no tokenizer.json and no tokenizer.model");
  put("tokenizer.model", "x");
  EXPECT_SAYS([&] { load(); }, (folder_ / "tokenizer.model").string());
  put("tokenizer.json", "{}");
  EXPECT_SAYS([&] { load(); }, (folder_ / "tokenizer.json").string());
  put("added_tokens.json", R"({"<x>": -1})");
  EXPECT_SAYS([&] { load(); }, (folder_ / "added_tokens.json").string());
  put("added_tokens.json", "{}");
  put("tokenizer_config.json", R"({"added_tokens_decoder": {"1x": {"content": "a"}}})");
  EXPECT_SAYS([&] { load(); }, "'1x' is no id");
}

TEST_F(LoadTokenizer, RefusesIdsOutsideTheVocabulary) {
  for (const int32_t id : {-1, 4096, INT32_MAX, INT32_MIN}) {
    EXPECT_SAYS([&] { reference().decode(Ids{1, id}); }, "there is no token");
    EXPECT_SAYS([&] { reference().piece(id); }, "the vocabulary has 4096");
  }
  put_byte_level();
  put("tokenizer_config.json", R"({"added_tokens_decoder": {"900000000": {"content": "a b"}}})");
  EXPECT_SAYS([&] { load(); }, "far from the");
}

TEST_F(LoadTokenizer, IsSharedByThreads) {
  const auto text = golden_json("reference_ids.json").dump();
  const Ids expected = reference().encode(text);
  std::vector<Ids> got(4);
  std::vector<std::thread> threads;
  for (Ids& ids : got) {
    threads.emplace_back([&ids, &text, copy = reference()] { ids = copy.encode(text); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : got) EXPECT_EQ(ids, expected);
}

}  // namespace
}  // namespace pith::model
