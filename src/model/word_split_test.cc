#include "word_split.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

namespace pith::model {
namespace {

using Words = std::vector<std::string>;

Words words(WordRule rule, std::string_view text) {
  Words out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = word_end(rule, text, at);
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(WordSplit, Gpt2) {
  const auto rule = WordRule::kGpt2;
  EXPECT_EQ(words(rule, "Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(words(rule, "it's we'LL"), (Words{"it", "'s", " we", "'", "LL"}));
  EXPECT_EQ(words(rule, "a  b"), (Words{"a", " ", " b"}));
  EXPECT_EQ(words(rule, "a \n b"), (Words{"a", " \n", " b"}));
  EXPECT_EQ(words(rule, "a\n\nb"), (Words{"a", "\n", "\n", "b"}));
  EXPECT_EQ(words(rule, "x  "), (Words{"x", "  "}));
  EXPECT_EQ(words(rule, "1234 5"), (Words{"1234", " 5"}));
  EXPECT_EQ(words(rule, "a!? ..."), (Words{"a", "!?", " ..."}));
  EXPECT_EQ(words(rule, "e\u0301t"), (Words{"e", "\u0301", "t"}));  // a mark is no letter
  EXPECT_EQ(words(rule, "日本 ½"), (Words{"日本", " ½"}));
}

TEST(WordSplit, Gpt2WithSingleDigits) {
  const auto rule = WordRule::kGpt2Digits;
  EXPECT_EQ(words(rule, "a12 3"), (Words{"a", "1", "2", " ", "3"}));
  EXPECT_EQ(words(rule, "a  1"), (Words{"a", "  ", "1"}));
  EXPECT_EQ(words(rule, "a  b"), (Words{"a", " ", " b"}));
  EXPECT_EQ(words(rule, "x_1's"), (Words{"x", "_", "1", "'s"}));
}

TEST(WordSplit, Llama3) {
  const auto rule = WordRule::kLlama3;
  EXPECT_EQ(words(rule, "Hello world"), (Words{"Hello", " world"}));
  EXPECT_EQ(words(rule, "we'LL 'x"), (Words{"we", "'LL", " '", "x"}));
  EXPECT_EQ(words(rule, "'\u017f"), (Words{"'\u017f"}));  // the long s ignores case
  EXPECT_EQ(words(rule, "12345"), (Words{"123", "45"}));
  EXPECT_EQ(words(rule, "a 123"), (Words{"a", " ", "123"}));
  EXPECT_EQ(words(rule, ".x (y"), (Words{".x", " (", "y"}));
  EXPECT_EQ(words(rule, "\tx"), (Words{"\tx"}));
  EXPECT_EQ(words(rule, "\nx"), (Words{"\n", "x"}));
  EXPECT_EQ(words(rule, "!\n\n x"), (Words{"!\n\n", " x"}));
  EXPECT_EQ(words(rule, "a  \n \n  b"), (Words{"a", "  \n \n", " ", " b"}));
  EXPECT_EQ(words(rule, "a \r\n"), (Words{"a", " \r\n"}));
}

TEST(WordSplit, Qwen2TakesDigitsOneByOne) {
  EXPECT_EQ(words(WordRule::kQwen2, "x12 3"), (Words{"x", "1", "2", " ", "3"}));
  EXPECT_EQ(words(WordRule::kQwen2, "we'Re"), (Words{"we", "'Re"}));
}

TEST(WordSplit, BytesThatAreNotUtf8CountAsPunctuation) {
  EXPECT_EQ(words(WordRule::kGpt2, "a\xFF\xC3 \xE2\x82z"),
            (Words{"a", "\xFF\xC3", " \xE2\x82", "z"}));
}

RC_GTEST_PROP(WordSplit, LosesNothing, ()) {
  const auto text = *rc::gen::container<std::string>(
      rc::gen::elementOf(std::string("ab1 \n\r'sLe.\t\xC3\xA9\xE2\x80\xFF")));
  for (const auto rule : {WordRule::kNone, WordRule::kGpt2, WordRule::kGpt2Digits,
                          WordRule::kLlama3, WordRule::kQwen2}) {
    std::string joined;
    for (const std::string& word : words(rule, text)) {
      RC_ASSERT(!word.empty());
      joined += word;
    }
    RC_ASSERT(joined == text);
  }
}

TEST(WordSplit, KnowsNoPatternButThose) {
  EXPECT_EQ(word_rule_of_pattern(""), std::nullopt);
  EXPECT_EQ(word_rule_of_pattern("\\s+"), std::nullopt);
  EXPECT_EQ(word_rule_of_gguf("llama-bpe"), WordRule::kLlama3);
  EXPECT_EQ(word_rule_of_gguf("tekken"), std::nullopt);
}

}  // namespace
}  // namespace pith::model
