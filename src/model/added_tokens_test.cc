#include "added_tokens.h"

#include <gtest/gtest.h>

namespace pith::model {
namespace {

// "text[id]text…", to be compared at a glance.
std::string marked(const AddedTokens& tokens, std::string_view text, bool special = true) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto found = tokens.next(text, at, special);
    if (found.id < 0) return out + std::string(text.substr(at));
    out += std::string(text.substr(at, found.begin - at)) + "[" + std::to_string(found.id) + "]";
    at = found.end;
  }
  return out;
}

TEST(AddedTokens, TheLongestIsTaken) {
  AddedTokens tokens;
  tokens.add({"<a>", 1});
  tokens.add({"<a><b>", 2});
  tokens.add({"b>c", 3});
  EXPECT_EQ(marked(tokens, "x<a><b>c<a>"), "x[2]c[1]");
  EXPECT_EQ(marked(tokens, "<a><b"), "[1]<b");
  EXPECT_EQ(marked(tokens, "<b>c"), "<[3]");
}

TEST(AddedTokens, SpecialOnesOnlyOnRequest) {
  AddedTokens tokens;
  tokens.add({.content = "<s>", .id = 1, .special = true});
  tokens.add({.content = "<s>!", .id = 2});
  EXPECT_EQ(marked(tokens, "<s>a<s>!", false), "<s>a[2]");
  EXPECT_EQ(marked(tokens, "<s>a<s>!", true), "[1]a[2]");
}

TEST(AddedTokens, TakeWhitespaceAlong) {
  AddedTokens tokens;
  tokens.add({.content = "<l>", .id = 1, .strip_left = true});
  tokens.add({.content = "<r>", .id = 2, .strip_right = true});
  EXPECT_EQ(marked(tokens, "a \u00a0<l> b"), "a[1] b");
  EXPECT_EQ(marked(tokens, "a <r>\n\u3000 b"), "a [2]b");
  EXPECT_EQ(marked(tokens, "<r> <l> "), "[2][1] ");
}

TEST(AddedTokens, SingleWordsOnly) {
  AddedTokens tokens;
  tokens.add({.content = "the", .id = 1, .single_word = true});
  EXPECT_EQ(marked(tokens, "the other the, éthe the_ the"), "[1] other [1], éthe the_ [1]");
}

TEST(AddedTokens, ALaterOneOfTheSameNameReplaces) {
  AddedTokens tokens;
  tokens.add({"<x>", 1});
  tokens.add({.content = "<x>", .id = 2, .special = true});
  EXPECT_EQ(marked(tokens, "<x>", false), "<x>");
  EXPECT_EQ(marked(tokens, "<x>", true), "[2]");
}

}  // namespace
}  // namespace pith::model
