#include <gtest/gtest.h>

#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;
using nlohmann::json;

// A file of the Llama 2 kind: ▁ by the normalizer, bytes for what is missing.
json llama2_style() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (const Piece& piece : byte_pieces()) vocab[piece.text] = vocab.size();
  for (const char* piece : {"\u2581", "a", "b", "ab", "\u2581a", "\u2581ab"}) {
    vocab[piece] = vocab.size();
  }
  json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  return {{"normalizer",
           {{"type", "Sequence"},
            {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace}}}},
          {"pre_tokenizer", nullptr},
          {"added_tokens",
           {{{"id", 0}, {"content", "<unk>"}, {"special", true}},
            {{"id", 1}, {"content", "<s>"}, {"special", true}},
            {{"id", 2}, {"content", "</s>"}, {"special", true}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", {"a b", "\u2581 a", "\u2581 ab"}}}}};
}

std::string pieces_of(const Tokenizer& tokenizer, std::string_view text,
                      const EncodeOptions& options = {}) {
  std::string out;
  for (const int32_t id : tokenizer.encode(text, options)) {
    if (!out.empty()) out += '|';
    out += tokenizer.piece(id);
  }
  return out;
}

TEST(TokenizerJson, ReadsTheLlama2Style) {
  const Tokenizer tokenizer = from_json(llama2_style());
  EXPECT_EQ(tokenizer.algorithm(), "BPE with escaped spaces");
  EXPECT_EQ(pieces_of(tokenizer, "ab a"), "<s>|▁ab|▁a");
  EXPECT_EQ(pieces_of(tokenizer, "é"), "<s>|▁|<0xC3>|<0xA9>");
  EXPECT_EQ(pieces_of(tokenizer, "\xFF"), "<s>|▁|<0xFF>");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab é  a")), "ab é  a");
  EXPECT_EQ(tokenizer.unk(), 0);
  EXPECT_EQ(tokenizer.kind(3), PieceKind::kByte);
  EXPECT_EQ(tokenizer.kind(1), PieceKind::kControl);
}

TEST(TokenizerJson, PutsASpaceAfterEachSpecialTokenIfTheNormalizerDoes) {
  const EncodeOptions special{.add_bos = false, .parse_special = true};
  EXPECT_EQ(pieces_of(from_json(llama2_style()), "a</s>a", special), "▁a|</s>|▁a");
  json file = llama2_style();
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = {{"type", "Metaspace"},
                           {"replacement", "\u2581"},
                           {"prepend_scheme", "first"},
                           {"split", false}};
  EXPECT_EQ(pieces_of(from_json(file), "a</s>a", special), "▁a|</s>|a");
  EXPECT_EQ(pieces_of(from_json(file), " a", special), "▁a");
  file["pre_tokenizer"]["prepend_scheme"] = "never";
  EXPECT_EQ(pieces_of(from_json(file), "a a", special), "a|▁a");
}

// The reference vocabulary as such a file: every way to put a piece together is a merge, those of
// better pieces first.
TEST(TokenizerJson, MergesByRankAsSentencePieceByScore) {
  const Tokenizer& model = reference();
  json file = llama2_style();
  file["model"]["vocab"] = json::object();
  file["model"]["merges"] = json::array();
  for (int32_t id = 0; id < model.size(); ++id) {
    const std::string piece(model.piece(id));
    file["model"]["vocab"][piece] = id;
    if (model.kind(id) != PieceKind::kNormal) continue;
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const auto left = model.find(piece.substr(0, cut)), right = model.find(piece.substr(cut));
      if (left && right)
        file["model"]["merges"].push_back({piece.substr(0, cut), piece.substr(cut)});
    }
  }
  const Tokenizer tokenizer = from_json(file);
  for (const auto& entry : golden_cases("reference_ids.json")) {
    const auto text = entry["text"].get<std::string>();
    if (text.find('\n') != std::string::npos) continue;  // a piece of the user's in the model
    EXPECT_EQ(tokenizer.encode(text, {.add_bos = false}), entry["ids"].get<Ids>()) << entry["text"];
  }
}

TEST(TokenizerJson, ComposesFirstWhereTheFileSaysNfc) {
  json file = golden_json("byte_level.json");
  const Tokenizer plain = from_json(file);
  file["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(from_json(file).encode("cafe\u0301"), plain.encode("caf\u00e9"));
  EXPECT_NE(plain.encode("cafe\u0301"), plain.encode("caf\u00e9"));
}

TEST(TokenizerJson, RefusesAPatternThatItDoesNotKnowByName) {
  json file = golden_json("byte_level.json");
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+|[^\\w]";
  EXPECT_SAYS([&] { from_json(file); },
              "tokenizer.json: the pre-tokenizer splits by a pattern that is not supported: "
              "\\w+|[^\\w]");
}

TEST(TokenizerJson, RefusesStepsThatItDoesNotKnow) {
  const auto with = [](const char* path, const json& value) {
    json file = llama2_style();
    file[json::json_pointer(path)] = value;
    return [file] { from_json(file); };
  };
  EXPECT_SAYS(with("/normalizer", {{"type", "Lowercase"}}), "normalizer 'Lowercase'");
  EXPECT_SAYS(with("/pre_tokenizer", {{"type", "Whitespace"}}), "pre-tokenizer 'Whitespace'");
  EXPECT_SAYS(with("/model/type", "WordPiece"), "type 'WordPiece'");
  EXPECT_SAYS(with("/model/dropout", 0.1), "dropout");
  EXPECT_SAYS(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  EXPECT_SAYS(with("/normalizer", {{"type", "Sequence"}}), "normalizers");
}

TEST(TokenizerJson, RefusesWhatIsDamaged) {
  const auto with = [](const char* path, const json& value) {
    json file = llama2_style();
    file[json::json_pointer(path)] = value;
    return [file] { from_json(file); };
  };
  EXPECT_SAYS([] { tokenizer_from_json(as_bytes("{\"model\":"), "x.json"); }, "x.json: JSON");
  EXPECT_SAYS([] { tokenizer_from_json(as_bytes("[]"), "x.json"); }, "no \"model\"");
  EXPECT_SAYS(with("/model/vocab", json::object()), "unknown token");
  EXPECT_SAYS(with("/model/vocab", 3), "\"vocab\" is no object");
  EXPECT_SAYS(with("/model/vocab/a", -1), "piece 'a': its id");
  EXPECT_SAYS(with("/model/vocab/a", 2'000'000'000), "far from the");
  EXPECT_SAYS(with("/model/vocab/a", 5), "the id 5 is that of");
  EXPECT_SAYS(with("/model/merges/1", "a x"), "merge 1: 'x' is not in the vocabulary");
  EXPECT_SAYS(with("/model/merges/1", "b a"), "merge 1: 'ba' is not in the vocabulary");
  EXPECT_SAYS(with("/model/merges/1", "a b a"), "merge 1: 'a b a' is not two pieces");
  EXPECT_SAYS(with("/model/merges/1", 7), "merge 1 is neither");
  EXPECT_SAYS(with("/added_tokens/0/id", nullptr), "no id");
  EXPECT_SAYS(with("/added_tokens/0/content", ""), "no content");
  EXPECT_SAYS(with("/added_tokens/0/id", 7), "'<unk>' has the id 7, but it is piece 0");
  EXPECT_SAYS(with("/post_processor/single/0/SpecialToken/id", "<x>"), "'<x>' is not in the voc");
  json empty = golden_json("byte_level.json");
  empty["model"]["vocab"] = json::object();
  empty["model"]["merges"] = json::array();
  empty["added_tokens"] = json::array();
  empty["post_processor"] = nullptr;
  EXPECT_SAYS([&] { from_json(empty); }, "the vocabulary is empty");
}

}  // namespace
}  // namespace pith::model
