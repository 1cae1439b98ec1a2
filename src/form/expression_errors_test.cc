// What the notation refuses, how it says so, and its limits.
#include <gtest/gtest.h>

#include <limits>

#include "pith/form/expression.h"
#include "testing.h"

namespace pith::form {
namespace {

using Kind = Expression::Kind;

Error error_of(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "no error for " << text.substr(0, 100);
  return {ErrorKind::kIo, "none"};
}

std::string message_of(std::string_view text) { return error_of(text).what(); }

TEST(ExpressionErrors, ErrorsShowThePlace) {
  EXPECT_EQ(message_of("uniform(2"),
            "line 1, column 10: expected `,` or `)`, found the end\n"
            "  uniform(2\n"
            "           ^");
  EXPECT_EQ(message_of("a +\n  * b  # product"),
            "line 2, column 3: expected a form: a name, $name or `(`, found `*`\n"
            "    * b  # product\n"
            "    ^");
  EXPECT_EQ(message_of("a + # what?\n\n"),
            "line 1, column 4: expected a form: a name, $name or `(`, found the end\n"
            "  a + # what?\n"
            "     ^");
  EXPECT_EQ(message_of(""),
            "line 1, column 1: expected a form: a name, $name or `(`, found the end\n"
            "  \n"
            "  ^");
  // Tabs and characters of several bytes are one column.
  EXPECT_EQ(message_of("f(\t\"ä€\", ä)\r\n"),
            "line 1, column 10: unexpected `ä`\n"
            "  f( \"ä€\", ä)\n"
            "           ^");
  EXPECT_EQ(message_of("a > rans + b"),
            "line 1, column 10: `>` codes all that stands before it and ends the form; to code "
            "only a part, write (a > coder) + b\n"
            "  a > rans + b\n"
            "           ^");
  EXPECT_EQ(message_of(repeated("a + ", 30) + "$ " + repeated("+ a ", 30)),
            "line 1, column 121: a name must follow `$`\n"
            "  …" +
                repeated("a + ", 12) + "$ " + repeated("+ a ", 5) +
                "+ …\n"
                "  " +
                std::string(49, ' ') + "^");
}

TEST(ExpressionErrors, ErrorsSayWhatWasExpected) {
  struct Row {
    std::string_view text, place, message;
  };
  using namespace std::string_view_literals;
  for (const Row& row : {
           Row{"a b", "1, column 3", "expected an operator or the end, found `b`"},
           Row{"a)", "1, column 2", "expected an operator or the end, found `)`"},
           Row{"(a", "1, column 3", "expected an operator or `)`, found the end"},
           Row{"4 + a", "1, column 1", "expected a form: a name, $name or `(`, found `4`"},
           Row{"()", "1, column 2", "expected a form"},
           Row{"f(4,)", "1, column 5", "expected a value: a number, a form or text in quotes"},
           Row{"f(a=)", "1, column 5", "expected a value"},
           Row{"f(a=b=c)", "1, column 6", "expected `,` or `)`, found `=`"},
           Row{"f(4 + 5)", "1, column 5", "expected `,` or `)`, found `+`"},
           Row{"f(+5)", "1, column 3", "expected a value"},
           Row{"f(bits=4, 2)", "1, column 11", "arguments without a key stand before"},
           Row{"f(a=1, a=2)", "1, column 10", "`a` is given twice"},
           Row{"f(\"a\" \"b\")", "1, column 7", "expected `,` or `)`, found text in quotes"},
           Row{"f(2:x)", "1, column 5", "expected an integer: a ratio is n:m, found `x`"},
           Row{"f(2:0)", "1, column 3", "both numbers of a ratio n:m are at least 1"},
           Row{"f(1.5:2)", "1, column 3", "ratios n:m and ranges a..b are of integers"},
           Row{"f(1..2.5)", "1, column 6", "expected an integer, found `2.5`"},
           Row{"f(4..2)", "1, column 3", "a range ends before it begins"},
           Row{"f(..4)", "1, column 3", "expected a value"},
           Row{"f(1..2..3)", "1, column 7", "expected `,` or `)`, found `..`"},
           Row{"f(.5)", "1, column 3", "decimals have digits on both sides of the point"},
           Row{"f(5.)", "1, column 4", "decimals have digits on both sides of the point"},
           Row{"f(4bit)", "1, column 4", "a letter cannot follow a number"},
           Row{"f(1e)", "1, column 4", "a letter cannot follow a number"},
           Row{"f(- 4)", "1, column 3", "a digit must follow `-`"},
           Row{"f(-inf)", "1, column 3", "a digit must follow `-`"},
           Row{"f(1e999)", "1, column 3", "numbers go from 4.9e-324 to 1.8e308"},
           Row{"f(1e-999)", "1, column 3", "numbers go from"},
           Row{"f(1e999%)", "1, column 3", "numbers go from"},
           Row{"f(9223372036854775808)", "1, column 3", "integers have 64 bits"},
           Row{"f(0..9223372036854775808)", "1, column 6", "integers have 64 bits"},
           Row{"a > 4", "1, column 5", "expected a coder: a name, name(…) or $name, found `4`"},
           Row{"a > (b + c)", "1, column 8", "a coder is a name, name(…) or $name"},
           Row{"ref(\"a", "1, column 5", "the closing `\"` is missing"},
           Row{"ref(\"a\n\")", "1, column 5", "the closing `\"` is missing"},
           Row{"ref(\"a\t\")", "1, column 7", "control characters in text"},
           Row{"ref(\"\\x\")", "1, column 6", "escapes are"},
           Row{"ref(\"\\", "1, column 6", "escapes are"},
           Row{"ref(\"\\u12\")", "1, column 6", "four hexadecimal digits must follow"},
           Row{"ref(\"\\ud800\")", "1, column 6", "four hexadecimal digits must follow"},
           Row{"a\n\n+ @", "3, column 3", "unexpected `@`"},
           Row{"a = b", "1, column 3", "expected an operator or the end, found `=`"},
           Row{"$", "1, column 1", "a name must follow `$`"},
           Row{"a\0b"sv, "1, column 2", "unexpected control character 0x00"},
           Row{"a # \xFF", "1, column 5", "this is not well-formed UTF-8"},
           Row{"\xC3\xA4\xC0\x80", "1, column 2", "this is not well-formed UTF-8"},
           Row{"a_very_long_name_that_ends_never b_very_long_name_that_ends_never", "1, column 34",
               "expected an operator or the end, found `b_very_long_name_that_en…`"},
       }) {
    const Error error = error_of(row.text);
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    const std::string expected = fmt::format("line {}: {}", row.place, row.message);
    EXPECT_EQ(std::string(error.what()).substr(0, expected.size()), expected) << row.text;
  }
}

TEST(ExpressionErrors, InfinityAndNanAreOnlyNames) {
  EXPECT_EQ(*parse("f(nan, inf)").argument(0), Value(Expression::call("nan")));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_THROW(Value{kInfinity}, Error);
  EXPECT_THROW(Value{Percent{kInfinity - kInfinity}}, Error);
}

TEST(ExpressionErrors, NestingIsBounded) {
  const auto nested = [](std::string_view open, size_t n, std::string_view close) {
    return repeated(open, n) + "a" + repeated(close, n);
  };
  EXPECT_EQ(parse(nested("f(", kMaxDepth - 1, ")")).depth(), kMaxDepth);
  EXPECT_EQ(to_string(parse(nested("(", kMaxDepth, ")"))), "a");
  EXPECT_EQ(parse(nested("a | ", kMaxDepth - 1, "")).depth(), kMaxDepth);
  EXPECT_EQ(parse(nested("", kMaxDepth - 1, " > a")).depth(), kMaxDepth);
  for (const std::string& text :
       {nested("f(", kMaxDepth, ")"), nested("(", kMaxDepth + 1, ")"),
        nested("a | ", kMaxDepth, ""), nested("", kMaxDepth, " > a"), repeated("(", kMaxText),
        repeated("f(", kMaxText / 2), repeated("a|", kMaxText / 2 - 1) + "a",
        repeated("a>", kMaxText / 2 - 1) + "a", repeated("(a+", kMaxText / 3)}) {
    EXPECT_EQ(error_of(text).kind(), ErrorKind::kLimit) << text.substr(0, 20);
  }
}

TEST(ExpressionErrors, LengthAndPartsAreBounded) {
  EXPECT_EQ(to_string(parse("a" + std::string(kMaxText - 1, ' '))), "a");
  EXPECT_EQ(message_of("a" + std::string(kMaxText, ' ')),
            "an expression of 65537 bytes; at most 65536 are read");
  EXPECT_EQ(error_of(std::string(1 << 20, '(')).kind(), ErrorKind::kLimit);
  EXPECT_EQ(parse(repeated("a+", kMaxNodes - 2) + "a").nodes(), kMaxNodes);
  EXPECT_EQ(error_of(repeated("a+", kMaxNodes - 1) + "a").kind(), ErrorKind::kLimit);
  EXPECT_EQ(error_of("f(" + repeated("1,", 30000) + "1)").kind(), ErrorKind::kLimit);
  std::string keys = "f(a=1";
  for (int i = 0; i < 9000; ++i) keys += fmt::format(",k{}=1", i);
  EXPECT_EQ(error_of(keys + ")").kind(), ErrorKind::kLimit);
  keys.resize(keys.find(",k5000="));
  EXPECT_EQ(parse(keys + ")").arguments().size(), 5001u);
}

TEST(ExpressionErrors, WhatIsTooLongToReadIsNotWritten) {
  const Expression name = Expression::call(std::string(kMaxText / 2, 'a'));
  EXPECT_EQ(parse(to_string(name)), name);
  EXPECT_THROW(to_string(Expression::sum({name, name})), Error);
  const Expression quotes = Expression::call("ref", {{"", Value(std::string(kMaxText / 2, '"'))}});
  EXPECT_THROW(to_string(quotes), Error);
  // Doubled again and again, a small graph in memory is a tree without end on paper.
  EXPECT_THROW(
      {
        Expression e = Expression::call("a");
        for (int i = 0; i < 60; ++i) e = Expression::basis(e, e);
      },
      Error);
}

TEST(ExpressionErrors, ProgramsCannotBuildWhatCannotBeWritten) {
  const Expression a = Expression::call("a");
  EXPECT_THROW(Expression::call(""), Error);
  EXPECT_THROW(Expression::call("4bit"), Error);
  EXPECT_THROW(Expression::call("a b"), Error);
  EXPECT_THROW(Expression::variable("$a"), Error);
  EXPECT_THROW(Expression::call("f", {{"a b", 1}}), Error);
  EXPECT_THROW(Expression::call("f", {{"a", 1}, {"", 2}}), Error);
  EXPECT_THROW(Expression::sum({}), Error);
  EXPECT_THROW(Expression::coder(a, Expression::sum({a, a})), Error);
  EXPECT_THROW(Value("\xFF"), Error);
  EXPECT_THROW(Value(UINT64_MAX), Error);
  EXPECT_THROW(Value(Ratio{0, 4}), Error);
  EXPECT_EQ(Expression::sum({a}), a);
  EXPECT_EQ(Expression::sum({a, Expression::sum({a, a})}).operands().size(), 3u);
}

}  // namespace
}  // namespace pith::form
