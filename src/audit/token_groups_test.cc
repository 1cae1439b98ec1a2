#include "pith/audit/token_groups.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "pith/model/load_tokenizer.h"

namespace pith::audit {
namespace {

TEST(TokenGroups, ClassesAreThoseOfTheText) {
  const std::pair<std::string_view, TokenClass> cases[] = {
      {" the", TokenClass::kWordBegin}, {"\nThe", TokenClass::kWordBegin},
      {"ing", TokenClass::kWordInside}, {"'s", TokenClass::kWordInside},
      {" 1st", TokenClass::kWordBegin}, {" été", TokenClass::kWordBegin},
      {"猫", TokenClass::kWordInside},  {" 1914", TokenClass::kNumber},
      {"3.", TokenClass::kNumber},      {",", TokenClass::kPunctuation},
      {" —", TokenClass::kPunctuation}, {"”", TokenClass::kPunctuation},
      {"\n", TokenClass::kWhitespace},  {"   ", TokenClass::kWhitespace},
      {"\xE2\x80", TokenClass::kOther}, {"\xFF", TokenClass::kOther},
      {"", TokenClass::kOther},         {"\xE2\x81\xB0", TokenClass::kWordInside},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(name(token_class(text)), name(expected)) << '"' << text << '"';
  }
}

TEST(TokenGroups, ClassesOfARealVocabulary) {
  const std::filesystem::path root =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
  const model::Tokenizer tokenizer = model::load_tokenizer(root / "data/lm");
  const Grouping classes = groups_by_class(tokenizer);
  const auto class_of = [&](std::string_view piece) {
    return classes.groups[classes.group(tokenizer.find(piece).value_or(-1))];
  };
  EXPECT_EQ(class_of("▁the"), "word begin");
  EXPECT_EQ(class_of("ing"), "word inside");
  EXPECT_EQ(class_of("."), "punctuation");
  EXPECT_EQ(class_of("<0x0A>"), "whitespace");
  EXPECT_EQ(class_of("<0xFF>"), "other");
  EXPECT_EQ(class_of("<s>"), "other");
  EXPECT_EQ(classes.groups[classes.group(tokenizer.size())], "other");
}

TEST(TokenGroups, FrequencyIsThatOfTheText) {
  // 20 tokens: id 3 ten times, id 1 six times, ids 0 and 2 once each, id 5 twice; id 4 never.
  std::vector<int32_t> text(10, 3);
  text.insert(text.end(), 6, 1);
  text.insert(text.end(), {0, 2, 5, 5, -1, 99});
  const Grouping g = groups_by_frequency(text, 6);
  const auto of = [&](int32_t id) { return g.groups[g.group(id)]; };
  EXPECT_EQ(of(3), "frequent");  // exactly half
  EXPECT_EQ(of(1), "middle");
  EXPECT_EQ(of(5), "middle");  // begins at 16 of 20
  EXPECT_EQ(of(0), "rare");    // begins at 18 of 20
  EXPECT_EQ(of(2), "rare");
  EXPECT_EQ(of(4), "rare");
  EXPECT_EQ(of(-1), "rare");
  EXPECT_EQ(of(6), "rare");
  const Grouping nothing = groups_by_frequency({}, 3);
  EXPECT_EQ(nothing.groups[nothing.group(0)], "rare");
}

}  // namespace
}  // namespace pith::audit
