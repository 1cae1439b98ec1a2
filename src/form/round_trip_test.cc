// What holds for every expression and every text.
#include <gtest/gtest.h>

#include <algorithm>

#include "lexer.h"
#include "pith/form/expression.h"
#include "testing.h"

namespace pith::form {
namespace {

constexpr int kCases = 10000;

TEST(Notation, PrintedAndParsedIsTheSame) {
  EXPECT_TRUE(holds_for(kCases, [] {
    const Expression e = random_expression(3);
    const std::string text = to_string(e);
    const Expression again = parse(text);
    RC_ASSERT(again == e);
    RC_ASSERT(to_string(again) == text);
  }));
}

TEST(Notation, SpaceCommentsAndNeedlessParenthesesDoNotCount) {
  EXPECT_TRUE(holds_for(kCases / 5, [] {
    const Expression e = random_expression(2);
    const std::string noisy = noisily(e);
    RC_LOG() << noisy;
    RC_ASSERT(parse(noisy) == e);
    RC_ASSERT(to_string(parse(noisy)) == to_string(e));
  }));
}

// Each pair of parentheses that groups, by the offsets of both.
std::vector<std::pair<size_t, size_t>> groups(const std::string& text) {
  std::vector<std::pair<size_t, size_t>> out;
  std::vector<std::pair<size_t, bool>> open;
  Lexer lexer(std::make_shared<const std::string>(text));
  Token before;
  for (Token t = lexer.next(); t.kind != TokenKind::kEnd; before = t, t = lexer.next()) {
    if (t.is("(")) open.emplace_back(t.offset, before.kind != TokenKind::kName);
    if (!t.is(")")) continue;
    if (open.back().second) out.emplace_back(open.back().first, t.offset);
    open.pop_back();
  }
  return out;
}

TEST(Notation, NoPairOfParenthesesCanBeLeftOut) {
  EXPECT_TRUE(holds_for(kCases / 5, [] {
    const Expression e = random_expression(3);
    const std::string text = to_string(e);
    for (const auto& [left, right] : groups(text)) {
      std::string without = text;
      without[left] = without[right] = ' ';
      try {
        RC_ASSERT(!(parse(without) == e));
      } catch (const Error&) {
      }
    }
  }));
}

TEST(Notation, EqualIsWhatPrintsEqual) {
  EXPECT_TRUE(holds_for(kCases / 5, [] {
    const Expression a = random_expression(1), b = random_expression(1);
    RC_ASSERT((a == b) == (to_string(a) == to_string(b)));
  }));
}

TEST(Notation, AnyTokensAreAnExpressionOrAnError) {
  const std::vector<std::string> kPieces = {"a",
                                            "b(",
                                            "c",
                                            "(",
                                            ")",
                                            ",",
                                            "=",
                                            "+",
                                            "*",
                                            "|",
                                            ">",
                                            "%",
                                            ":",
                                            "..",
                                            "$v",
                                            "$",
                                            "4",
                                            "-2.5",
                                            "1e",
                                            "1e99999",
                                            "\"s\"",
                                            "\"",
                                            "\"\\u12",
                                            "#",
                                            "\n",
                                            "\xC3",
                                            ".",
                                            "\\",
                                            "@",
                                            "x=",
                                            " ",
                                            "0..4",
                                            "2:4",
                                            "3%",
                                            "-",
                                            "f(1)",
                                            std::string(1, '\0')};
  int read = 0;
  EXPECT_TRUE(holds_for(kCases, [&] {
    std::string text;
    const size_t n = random_below(12);
    for (size_t i = 0; i < n; ++i) text += *rc::gen::elementOf(kPieces);
    RC_LOG() << text;
    try {
      const Expression e = parse(text);
      ++read;
      RC_ASSERT(parse(to_string(e)) == e);
    } catch (const Error& error) {
      RC_ASSERT(error.kind() == ErrorKind::kUsage);
    }
  }));
  EXPECT_GT(read, 0);
}

TEST(Notation, SubstitutionAndPrintingCommute) {
  EXPECT_TRUE(holds_for(kCases / 5, [] {
    const Expression e = random_expression(2);
    Bindings bindings;
    for (const char* name : {"a", "e4", "Z"}) bindings.emplace(name, random_call(1));
    const Expression replaced = substitute(e, bindings);
    RC_ASSERT(substitute(parse(to_string(e)), bindings) == replaced);
    for (const std::string& left : variables(e)) {
      // What is bound may hold the same names again; it is not searched.
      if (bindings.contains(left)) continue;
      RC_ASSERT(std::ranges::count(variables(replaced), left) == 1);
    }
    if (variables(e).empty()) RC_ASSERT(replaced == e);
    RC_ASSERT(substitute(e, {}) == e);
  }));
}

}  // namespace
}  // namespace pith::form
