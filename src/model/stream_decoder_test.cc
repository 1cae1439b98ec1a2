#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pith/io/text.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

// <unk>, <s>, </s>, 256 bytes, then "a" and "▁b".
const Tokenizer& bytes() {
  static const Tokenizer tokenizer = [] {
    auto pieces = with_controls(byte_pieces());
    pieces.push_back({"a", -1});
    pieces.push_back({"\u2581b", -2});
    return tokenizer_from_sentencepiece(SentencePieceFile(pieces).trainer(35, 1).done());
  }();
  return tokenizer;
}
constexpr int32_t kFirstByte = 3, kA = 259, kB = 260;

Ids byte_ids(std::string_view text) {
  Ids ids;
  for (const char c : text) ids.push_back(kFirstByte + static_cast<uint8_t>(c));
  return ids;
}

std::string streamed(const Ids& ids) {
  StreamDecoder decoder(bytes());
  std::string out;
  for (const int32_t id : ids) out += decoder.push(id);
  return out + decoder.finish();
}

TEST(StreamDecoder, HoldsBackACharacterUntilItIsWhole) {
  StreamDecoder decoder(bytes());
  const Ids ids = byte_ids("é€😀");
  std::vector<std::string> steps;
  for (const int32_t id : ids) steps.push_back(decoder.push(id));
  EXPECT_EQ(steps, (std::vector<std::string>{"", "é", "", "", "€", "", "", "", "😀"}));
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, BytesThatCannotBecomeUtf8AreReplacedAtOnce) {
  StreamDecoder decoder(bytes());
  EXPECT_EQ(decoder.push(kFirstByte + 0xFF), "\uFFFD");
  EXPECT_EQ(decoder.push(kFirstByte + 0xE2), "");
  EXPECT_EQ(decoder.push(kFirstByte + 0x82), "");
  EXPECT_EQ(decoder.push(kA), "\uFFFDa");  // one for the part of a character
  EXPECT_EQ(decoder.push(kFirstByte + 0xF0), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, RefusesOverlongFormsAndSurrogates) {
  EXPECT_EQ(streamed(byte_ids("\xC0\x80")), "\uFFFD\uFFFD");
  EXPECT_EQ(streamed(byte_ids("\xE0\x80\x80")), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(streamed(byte_ids("\xED\xA0\x80")), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(streamed(byte_ids("\xF4\x90\x80\x80")), "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(StreamDecoder, TakesAwayOnlyTheFirstSpace) {
  EXPECT_EQ(streamed({1, kB, kB}), "b b");
  StreamDecoder continuing(bytes(), {.continues = true});
  EXPECT_EQ(continuing.push(kB), " b");
  StreamDecoder again(bytes());
  again.push(kB);
  again.finish();
  EXPECT_EQ(again.push(kB), "b");
}

RC_GTEST_PROP(StreamDecoder, GivesTheTextOfDecodeMadeValid, (const std::vector<uint8_t>& raw)) {
  const std::string text(raw.begin(), raw.end());
  const std::string out = streamed(byte_ids(text));
  RC_ASSERT(io::utf8(out) == out);
  // Where the text is valid, it is the text. (decode() takes one space from the front.)
  const std::string plain = bytes().decode(byte_ids(text));
  if (io::utf8(plain) == plain) RC_ASSERT(out == plain);
}

}  // namespace
}  // namespace pith::model
