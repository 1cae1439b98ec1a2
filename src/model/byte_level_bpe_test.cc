// Byte-level models against Hugging Face's library and against the plain statement of the
// algorithm.
#include "byte_level_bpe.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "byte_alphabet.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

const Tokenizer& small() {
  static const Tokenizer tokenizer =
      tokenizer_from_json(read_file(golden("byte_level.json")), "byte_level.json");
  return tokenizer;
}

// The same vocabulary in GGUF, with any rule.
io::GgufMetadata small_gguf(const std::string& pre) {
  const nlohmann::json model = golden_json("byte_level.json")["model"];
  std::vector<Piece> pieces(model["vocab"].size());
  for (const auto& [piece, id] : model["vocab"].items()) pieces[id.get<size_t>()] = {piece};
  auto metadata = gguf_vocabulary("gpt2", pieces);
  metadata.emplace_back("tokenizer.ggml.merges", model["merges"].get<std::vector<std::string>>());
  if (!pre.empty()) metadata.emplace_back("tokenizer.ggml.pre", pre);
  return metadata;
}

void expect_golden(const Tokenizer& tokenizer, const char* rule) {
  for (const auto& entry : golden_cases("byte_level_ids.json")) {
    const auto text = entry["text"].get<std::string>();
    const Ids ids = tokenizer.encode(text, {.add_bos = false});
    EXPECT_EQ(ids, entry[rule].get<Ids>()) << rule << " " << entry["text"];
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
}

TEST(ByteLevelBpe, TokenizerJsonIsAsTheLibraryHasIt) { expect_golden(small(), "llama3"); }

TEST(ByteLevelBpe, EveryRuleInGgufIsAsTheLibraryHasIt) {
  expect_golden(tokenizer_from_gguf(small_gguf("llama-bpe")), "llama3");
  expect_golden(tokenizer_from_gguf(small_gguf("qwen2")), "qwen2");
  expect_golden(tokenizer_from_gguf(small_gguf("gpt-2")), "gpt2");
  expect_golden(tokenizer_from_gguf(small_gguf("")), "gpt2");
  expect_golden(tokenizer_from_gguf(small_gguf("starcoder")), "starcoder");
}

RC_GTEST_PROP(ByteLevelBpe, EveryByteComesBack, (const std::vector<uint8_t>& bytes)) {
  const std::string text(bytes.begin(), bytes.end());
  RC_ASSERT(small().decode(small().encode(text)) == text);
}

TEST(ByteLevelBpe, KnowsItsBosAndSpecialTokens) {
  EXPECT_TRUE(small().adds_bos());
  EXPECT_EQ(small().piece(*small().bos()), "<|begin_of_text|>");
  const std::string text = "hi<|eot_id|>";
  EXPECT_EQ(small().decode(small().encode(text)), text);  // plain text stays plain text
  const Ids ids = small().encode(text, {.add_bos = false, .parse_special = true});
  EXPECT_EQ(ids.back(), *small().find("<|eot_id|>"));
  EXPECT_EQ(small().kind(ids.back()), PieceKind::kControl);
  EXPECT_EQ(small().decode(ids), "hi");
}

// Ids by merging the pair of lowest rank, the leftmost of equals, again and again.
Ids merged_plainly(const std::vector<std::pair<std::string, std::string>>& merges,
                   std::vector<std::string> symbols, const Tokenizer& tokenizer) {
  for (;;) {
    size_t best = symbols.size(), best_rank = merges.size();
    for (size_t k = 0; k + 1 < symbols.size(); ++k) {
      const auto pair = std::pair(symbols[k], symbols[k + 1]);
      const auto rank = static_cast<size_t>(std::ranges::find(merges, pair) - merges.begin());
      if (rank < best_rank) std::tie(best, best_rank) = std::pair(k, rank);
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) ids.push_back(*tokenizer.find(symbol));
  return ids;
}

RC_GTEST_PROP(ByteLevelBpe, MergesTheLowestRankFirst, ()) {
  std::vector<std::string> pieces = {"a", "b", "c"};
  std::vector<std::pair<std::string, std::string>> merges;
  for (int k = *rc::gen::inRange(0, 14); k > 0; --k) {
    const std::string left = *rc::gen::elementOf(pieces), right = *rc::gen::elementOf(pieces);
    if (left.size() + right.size() > 8) continue;
    merges.emplace_back(left, right);  // some stand twice
    if (std::ranges::find(pieces, left + right) == pieces.end()) pieces.push_back(left + right);
  }
  nlohmann::json file = {{"model", {{"type", "BPE"}, {"merges", nlohmann::json::array()}}},
                         {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  for (size_t k = 0; k < pieces.size(); ++k) file["model"]["vocab"][pieces[k]] = k;
  for (const auto& [left, right] : merges) file["model"]["merges"].push_back({left, right});
  const Tokenizer tokenizer = from_json(file);
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aabbc")));
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  RC_ASSERT(tokenizer.encode(text) == merged_plainly(merges, symbols, tokenizer));
}

TEST(ByteLevelBpe, IgnoresMergesForWholeWordsOnlyWhenTold) {
  // "abc" is a piece that no merges make.
  nlohmann::json file = {{"model",
                          {{"type", "BPE"},
                           {"vocab", {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"abc", 4}}},
                           {"merges", {"a b"}}}},
                         {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  EXPECT_EQ(from_json(file).encode("abc"), (Ids{3, 2}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(from_json(file).encode("abc"), (Ids{4}));
}

TEST(ByteLevelBpe, AByteWithoutAPieceIsUnknownOrRefused) {
  nlohmann::json file = {
      {"model",
       {{"type", "BPE"}, {"vocab", {{"a", 0}, {"?", 1}}}, {"merges", nlohmann::json::array()}}},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  EXPECT_SAYS([&] { from_json(file).encode("ab"); }, "no piece for the byte 0x62");
  file["model"]["unk_token"] = "?";
  EXPECT_EQ(from_json(file).encode("ab"), (Ids{0, 1}));
}

TEST(ByteAlphabet, IsOneToOne) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string letter = byte_letter(static_cast<uint8_t>(byte));
    EXPECT_EQ(bytes_of_letters(letter), std::string(1, static_cast<char>(byte)));
    all += letter;
  }
  EXPECT_EQ(bytes_of_letters(all).size(), 256U);
  EXPECT_EQ(byte_letter(' '), "Ġ");
  EXPECT_EQ(byte_letter('\n'), "Ċ");
  EXPECT_EQ(bytes_of_letters("日本"), "日本");
}

}  // namespace
}  // namespace pith::model
