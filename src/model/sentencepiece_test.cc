// SentencePiece models against what the library itself makes of them, and against the plain
// statement of the algorithm.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "tokenizer_testing.h"
#include "unicode.h"

namespace pith::model {
namespace {

using namespace testing;

void expect_golden(const Tokenizer& tokenizer, std::string_view name) {
  const nlohmann::json cases = golden_cases(name);
  ASSERT_GT(cases.size(), 50U);
  for (const auto& entry : cases) {
    const auto text = entry["text"].get<std::string>();
    const Ids ids = tokenizer.encode(text, {.add_bos = false});
    EXPECT_EQ(ids, entry["ids"].get<Ids>()) << entry["text"];
    EXPECT_EQ(tokenizer.decode(ids), entry["decoded"].get<std::string>()) << entry["text"];
  }
}

TEST(SentencePiece, ReferenceModelIsAsTheLibraryHasIt) {
  EXPECT_EQ(reference().algorithm(), "SentencePiece BPE");
  expect_golden(reference(), "reference_ids.json");
}

TEST(SentencePiece, UnigramWithCharacterMapIsAsTheLibraryHasIt) {
  const Tokenizer tokenizer = tokenizer_from_sentencepiece(read_file(golden("unigram.model")));
  EXPECT_EQ(tokenizer.algorithm(), "SentencePiece unigram");
  expect_golden(tokenizer, "unigram_ids.json");
}

RC_GTEST_PROP(SentencePiece, EveryTextComesBack, (const std::vector<uint32_t>& codes)) {
  std::string text;
  for (uint32_t code : codes) {
    code %= 0x110000;
    if (code >= 0xD800 && code < 0xE000) code = 'x';
    if (code == 0x2581) code = ' ';  // ▁ itself is a space in these vocabularies
    append_character(text, code);
  }
  RC_ASSERT(reference().decode(reference().encode(text)) == text);
}

RC_GTEST_PROP(SentencePiece, EveryByteComesBack, (const std::string& bytes)) {
  if (bytes.find("\xE2\x96\x81") != std::string::npos) return;
  RC_ASSERT(reference().decode(reference().encode(bytes)) == bytes);
}

TEST(SentencePiece, BytesThatAreNotUtf8AreBytePieces) {
  const Ids ids = reference().encode("a\xFF\xC3", {.add_bos = false});
  ASSERT_GE(ids.size(), 3U);
  EXPECT_EQ(reference().piece(ids[ids.size() - 2]), "<0xFF>");
  EXPECT_EQ(reference().piece(ids.back()), "<0xC3>");
}

// Merges the best pair of all, again and again.
std::vector<std::string> merged_plainly(const std::map<std::string, float>& scores,
                                        std::vector<std::string> symbols) {
  for (;;) {
    size_t best = symbols.size();
    for (size_t k = 0; k + 1 < symbols.size(); ++k) {
      const auto found = scores.find(symbols[k] + symbols[k + 1]);
      if (found == scores.end()) continue;
      if (best == symbols.size() || found->second > scores.at(symbols[best] + symbols[best + 1])) {
        best = k;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

RC_GTEST_PROP(SentencePiece, MergesTheBestPairFirst, ()) {
  // Two letters, so that nearly every pair competes, and scores with ties.
  std::map<std::string, float> scores = {{"a", 0}, {"b", 0}, {"\u2581", 0}};
  for (int k = *rc::gen::inRange(0, 12); k > 0; --k) {
    auto piece = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aab_")));
    std::string marked;
    for (const char c : piece) marked += c == '_' ? "\u2581" : std::string(1, c);
    if (piece.size() >= 2 && piece.size() <= 5) {
      scores[marked] = -static_cast<float>(*rc::gen::inRange(0, 6));
    }
  }
  std::vector<Piece> pieces = with_controls({});
  for (const auto& [piece, score] : scores) pieces.push_back({piece, score});
  const Tokenizer tokenizer = tokenizer_from_sentencepiece(SentencePieceFile(pieces).done());
  const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("aaabb ")));
  std::vector<std::string> symbols;
  if (!text.empty()) symbols.push_back("\u2581");
  for (const char c : text) symbols.push_back(c == ' ' ? "\u2581" : std::string(1, c));
  std::vector<std::string> got;
  for (const int32_t id : tokenizer.encode(text, {.add_bos = false})) {
    got.emplace_back(tokenizer.piece(id));
  }
  RC_ASSERT(got == merged_plainly(scores, symbols));
}

TEST(SentencePiece, UnusedPiecesAreTakenApartAgain) {
  const auto pieces =
      with_controls({{"a", -9}, {"b", -9}, {"c", -9}, {"ab", -1, 5}, {"abc", -2}, {"\u2581", -9}});
  const Tokenizer tokenizer =
      tokenizer_from_sentencepiece(SentencePieceFile(pieces).normalizer(3, 0).done());
  EXPECT_EQ(tokenizer.encode("abc", {.add_bos = false}), (Ids{7}));
  EXPECT_EQ(tokenizer.encode("ab", {.add_bos = false}), (Ids{3, 4}));
}

TEST(SentencePiece, UnknownCharactersTogetherAreOneUnknownPiece) {
  const auto pieces = with_controls({{"a", -1}, {"\u2581", -2}});
  const Tokenizer tokenizer = tokenizer_from_sentencepiece(SentencePieceFile(pieces).done());
  EXPECT_EQ(tokenizer.encode("äöa\xFF", {.add_bos = false}), (Ids{4, 0, 3, 0}));
  EXPECT_EQ(tokenizer.decode(Ids{4, 0, 3}), " \u2047 a");
}

TEST(SentencePiece, ControlPiecesAreReadOnlyWhenAsked) {
  const Ids plain = reference().encode("</s>");
  EXPECT_EQ(std::ranges::count(plain, *reference().eos()), 0);
  const Ids special = reference().encode("a</s>", {.parse_special = true});
  EXPECT_EQ(special.back(), *reference().eos());
  EXPECT_EQ(reference().decode(special), "a");
  EXPECT_EQ(reference().decode(special, {.show_special = true}), "<s>a</s>");
}

TEST(SentencePiece, RefusesWhatItCannotDo) {
  const auto load = [](const Bytes& file) {
    return [file] { tokenizer_from_sentencepiece(file, "m.model"); };
  };
  const auto pieces = with_controls({{"a", -1}});
  EXPECT_SAYS(load({}), "m.model: no SentencePiece model");
  const Bytes file = SentencePieceFile(pieces).done();
  // The first piece: tag, length, message.
  EXPECT_SAYS(load({file.begin(), file.begin() + 2 + file[1]}), "how it was trained is missing");
  EXPECT_SAYS(load(SentencePieceFile(pieces).trainer(3, 4).done()), "type 4");
  EXPECT_SAYS(load(SentencePieceFile(pieces).trainer(24, 1).done()), "treat_whitespace_as_suffix");
  EXPECT_SAYS(load(SentencePieceFile(with_controls({{"a", NAN}})).done()), "score of piece 3");
  EXPECT_SAYS(load(SentencePieceFile({{"a", 0, 9}}).done()), "unknown type 9");
  EXPECT_SAYS(load(SentencePieceFile(pieces).charsmap({1, 0, 0, 0}).done()), "charsmap");
  EXPECT_SAYS(load(SentencePieceFile(pieces).charsmap({0, 0, 0, 1}).done()), "charsmap");
  const Tokenizer poor = tokenizer_from_sentencepiece(SentencePieceFile({{"a", 0}}).done());
  EXPECT_SAYS([&] { poor.encode("b"); }, "no unknown piece");
}

TEST(SentencePiece, SurvivesEveryTruncation) {
  const Bytes whole = read_file(golden("unigram.model"));
  for (size_t size = 0; size < whole.size(); size += 7) {
    try {
      const auto tokenizer = tokenizer_from_sentencepiece(ByteView(whole).first(size));
      tokenizer.encode("The 日本 ﬁsh … 12½");
    } catch (const Error&) {  // as it should be for most
    }
  }
}

TEST(SentencePiece, ADamagedCharacterMapStaysWithinItsBounds) {
  Bytes whole = read_file(golden("unigram.model"));
  for (size_t at = whole.size() > 2000 ? whole.size() - 2000 : 0; at < whole.size(); at += 3) {
    Bytes damaged = whole;
    damaged[at] ^= 0x5A;
    try {
      tokenizer_from_sentencepiece(damaged).encode("The\t日本 ﬁsh … 12½ \u00a0Ａ e\u0301");
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace pith::model
