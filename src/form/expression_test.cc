// The notation, example by example.
#include "pith/form/expression.h"

#include <gtest/gtest.h>

#include <limits>

namespace pith::form {
namespace {

using Kind = Expression::Kind;

std::string canonical(std::string_view text) { return to_string(parse(text)); }

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

std::string repeated(std::string_view piece, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += piece;
  return out;
}

TEST(Expression, ExamplesOfTheDesignReadAsMeant) {
  const std::vector<Definition> all = parse_definitions(R"(
    gear    = uniform(2) + lowrank(4) + sparse(2%)
    spqr    = uniform(3, group=16, scales=uniform(3)) + sparse(1%)
    eora    = $any + lowrank(32, metric=eigenspace)
    armor   = blockdiag * sparse(2:4) * blockdiag
    quest   = hadamard | uniform(4, grid=gaussian)
    cachegen = delta(token) | uniform(layerwise) > rans
  )");
  ASSERT_EQ(all.size(), 6u);

  const Expression& gear = all[0].expression;
  EXPECT_EQ(gear.kind(), Kind::kSum);
  ASSERT_EQ(gear.operands().size(), 3u);
  EXPECT_EQ(gear.operands()[1].name(), "lowrank");
  EXPECT_EQ(*gear.operands()[2].argument(0), Value(Percent{2}));

  const Expression& uniform = all[1].expression.operands()[0];
  EXPECT_EQ(*uniform.argument(0), Value(3));
  EXPECT_EQ(*uniform.argument("group"), Value(16));
  EXPECT_EQ(*uniform.argument("scales"), Value(parse("uniform(3)")));
  EXPECT_EQ(uniform.argument(1), nullptr);
  EXPECT_EQ(uniform.argument("bits"), nullptr);
  EXPECT_EQ(uniform.argument(""), nullptr);

  EXPECT_EQ(all[2].expression.operands()[0].kind(), Kind::kVariable);
  EXPECT_EQ(all[3].expression.kind(), Kind::kProduct);
  EXPECT_EQ(*all[3].expression.operands()[1].argument(0), Value(Ratio{2, 4}));

  const Expression& quest = all[4].expression;
  EXPECT_EQ(quest.kind(), Kind::kBasis);
  EXPECT_EQ(quest.operands()[0], Expression::call("hadamard"));

  const Expression& cachegen = all[5].expression;
  EXPECT_EQ(cachegen.kind(), Kind::kCoder);
  EXPECT_EQ(cachegen.operands()[0].kind(), Kind::kBasis);
  EXPECT_EQ(cachegen.operands()[1].name(), "rans");

  for (const Definition& d : all) EXPECT_EQ(parse(to_string(d.expression)), d.expression);
  EXPECT_EQ(to_string(all[1].expression), "uniform(3, group=16, scales=uniform(3)) + sparse(1%)");
}

TEST(Expression, Precedence) {
  struct Row {
    std::string_view plain, grouped;
  };
  for (const Row& row : {
           Row{"a * b | c", "(a * b) | c"},
           Row{"a | b * c", "a | (b * c)"},
           Row{"a | b | c", "a | (b | c)"},
           Row{"a | b + c", "(a | b) + c"},
           Row{"a + b | c", "a + (b | c)"},
           Row{"a * b + c * d", "(a * b) + (c * d)"},
           Row{"a + b > c", "(a + b) > c"},
           Row{"a | b > c", "(a | b) > c"},
           Row{"a * b > c", "(a * b) > c"},
           Row{"a > b > c", "(a > b) > c"},
           Row{"a + b | c * d > e", "(a + (b | (c * d))) > e"},
           Row{"f(a + b > c)", "f(((a + b) > c))"},
           // Sums and products have no inner order.
           Row{"a + b + c", "a + (b + c)"},
           Row{"a + b + c", "(a + b) + c"},
           Row{"a * b * c", "a * (b * c)"},
       }) {
    EXPECT_EQ(parse(row.plain), parse(row.grouped)) << row.plain;
    EXPECT_EQ(canonical(row.grouped), row.plain);
  }
  for (const std::string_view needed :
       {"(a + b) * c", "a * (b | c)", "(a | b) | c", "a | (b + c)", "(a + b) | c", "(a > b) + c",
        "a + (b > c)", "(a > b) | c", "(a > b) * c"}) {
    EXPECT_EQ(canonical(needed), needed);
  }
}

TEST(Expression, NumbersHaveOneForm) {
  struct Row {
    std::string_view written, printed;
  };
  for (const Row& row : {
           Row{"4.0", "4"},
           Row{"1e3", "1000"},
           Row{"-0", "0"},
           Row{"-0.0", "0"},
           Row{"0007", "7"},
           Row{"0.10", "0.1"},
           Row{"1E-7", "1e-7"},
           Row{"0.1e+1", "1"},
           Row{"1e300", "1e300"},
           Row{"9223372036854775807", "9223372036854775807"},
           Row{"-9223372036854775808", "-9223372036854775808"},
           Row{"9223372036854775808.0", "9.223372036854776e18"},
           Row{"5e-324", "5e-324"},
           Row{"2 %", "2%"},
           Row{"-0.0%", "0%"},
           Row{"9223372036854775807%", "9.223372036854776e18%"},
           Row{"2 : 4", "2:4"},
           Row{"0 .. 4", "0..4"},
           Row{"-128..", "-128.."},
           Row{"-4..4", "-4..4"},
           Row{"1.0..2e1", "1..20"},
       }) {
    const auto wrapped = [](std::string_view v) { return fmt::format("f({})", v); };
    EXPECT_EQ(canonical(wrapped(row.written)), wrapped(row.printed));
    EXPECT_EQ(parse(wrapped(row.written)), parse(wrapped(row.printed)));
  }
  EXPECT_EQ(Value(4.0), Value(4));
  EXPECT_FALSE(Value(0.02) == Value(Percent{2}));
}

TEST(Expression, TextHasEscapes) {
  const Expression e = parse(R"(ref("a \"b\" \\ \n\t\r \u0041\u00e4\u20AC\u0000 # + ä"))");
  EXPECT_EQ(*e.argument(0),
            Value("a \"b\" \\ \n\t\r A\u00e4\u20AC" + std::string(1, '\0') + " # + ä"));
  EXPECT_EQ(to_string(e), R"(ref("a \"b\" \\ \n\t\r Aä€\u0000 # + ä"))");
}

TEST(Expression, EqualityIsOfStructure) {
  EXPECT_EQ(parse("uniform(4)"), parse("  # four bits\n uniform ( 4 ) "));
  EXPECT_EQ(parse("f()"), parse("f"));
  for (const auto& [a, b] : std::vector<std::pair<const char*, const char*>>{
           {"f(4)", "f(5)"},
           {"f(4)", "f(4%)"},
           {"f(4)", "f(bits=4)"},
           {"f(a=1, b=2)", "f(b=2, a=1)"},
           {"f(\"a\")", "f(a)"},
           {"f($a)", "f(a)"},
           {"a + b", "b + a"},
           {"a + b", "a * b"},
           {"a | b", "a > b"},
           {"f(0..)", "f(0..0)"},
       }) {
    EXPECT_FALSE(parse(a) == parse(b)) << a << " and " << b;
  }
}

TEST(Expression, NodesKnowTheirPlaces) {
  const Expression e = parse("uniform(2,\n  bits = 9) +\n lowrank");
  EXPECT_EQ(e.place().line(), 2u);
  EXPECT_EQ(e.place().column(), 13u);
  EXPECT_EQ(e.operands()[1].place().offset(), 26u);
  EXPECT_EQ(e.operands()[1].place().line(), 3u);
  const Place bits = e.operands()[0].argument("bits")->place();
  EXPECT_EQ(bits.line(), 2u);
  EXPECT_EQ(bits.column(), 10u);
  EXPECT_EQ(std::string(bits.error(ErrorKind::kUsage, "no").what()),
            "line 2, column 10: no\n    bits = 9) +\n           ^");
  EXPECT_FALSE(Expression::call("a").place().known());
  EXPECT_STREQ(Expression::call("a").place().error(ErrorKind::kUsage, "no").what(), "no");
}

TEST(Expression, ErrorsShowThePlace) {
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

TEST(Expression, ErrorsSayWhatWasExpected) {
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

TEST(Expression, InfinityAndNanAreOnlyNames) {
  EXPECT_EQ(*parse("f(nan, inf)").argument(0), Value(Expression::call("nan")));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_THROW(Value{kInfinity}, Error);
  EXPECT_THROW(Value{Percent{kInfinity - kInfinity}}, Error);
}

TEST(Expression, NestingIsBounded) {
  const auto nested = [](std::string_view open, size_t n, std::string_view close) {
    return repeated(open, n) + "a" + repeated(close, n);
  };
  EXPECT_EQ(parse(nested("f(", kMaxDepth - 1, ")")).depth(), kMaxDepth);
  EXPECT_EQ(canonical(nested("(", kMaxDepth, ")")), "a");
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

TEST(Expression, LengthAndPartsAreBounded) {
  EXPECT_EQ(canonical("a" + std::string(kMaxText - 1, ' ')), "a");
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

TEST(Expression, WhatIsTooLongToReadIsNotWritten) {
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

TEST(Expression, ProgramsCannotBuildWhatCannotBeWritten) {
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

TEST(Definition, IsANameAndAnExpression) {
  const Definition d = parse_definition("# the one\ngear = uniform(2) +\n lowrank(4)\n");
  EXPECT_EQ(d.name, "gear");
  EXPECT_EQ(d.place.line(), 2u);
  EXPECT_EQ(to_string(d.expression), "uniform(2) + lowrank(4)");
  for (const std::string_view bad :
       {"", "gear", "gear =", "= a", "$a = b", "a = b c = d", "a == b"}) {
    EXPECT_THROW(parse_definition(bad), Error) << bad;
  }
}

TEST(Definition, FollowOneAnother) {
  EXPECT_TRUE(parse_definitions(" # none\n").empty());
  const auto two = parse_definitions("a = b\n + c d = e");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(to_string(two[0].expression), "b + c");
  EXPECT_EQ(two[1].name, "d");
  try {
    parse_definitions("a = b\na = c");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "line 2, column 1: `a` is defined twice\n  a = c\n  ^");
  }
}

TEST(Substitute, PutsFormsAndValuesForVariables) {
  const Expression recipe = parse("$any * f($bits, g=h($any)) + $other > $coder");
  EXPECT_EQ(variables(recipe), (std::vector<std::string>{"any", "bits", "coder", "other"}));
  const Bindings bindings = {{"any", parse("a + b")}, {"bits", 4}, {"coder", parse("rans")}};
  const Expression e = substitute(recipe, bindings);
  EXPECT_EQ(to_string(e), "(a + b) * f(4, g=h(a + b)) + $other > rans");
  EXPECT_EQ(variables(e), std::vector<std::string>{"other"});
  // Sums flatten; what was put in is not searched again.
  EXPECT_EQ(substitute(parse("$a + c"), {{"a", parse("$a + b")}}), parse("$a + b + c"));
}

TEST(Substitute, ErrorsShowTheVariable) {
  const auto error = [](const char* text, const Bindings& bindings) -> std::string {
    try {
      substitute(parse(text), bindings);
    } catch (const Error& e) {
      return e.what();
    }
    return "none";
  };
  EXPECT_EQ(error("a + $b", {{"b", 4}}),
            "line 1, column 5: $b stands for a form here, not for a number or text\n"
            "  a + $b\n"
            "      ^");
  EXPECT_EQ(error("a > $b", {{"b", parse("c + d")}}),
            "line 1, column 5: $b stands for a coder here: a name or name(…)\n"
            "  a > $b\n"
            "      ^");
  // 64 million terms, if they were ever written down.
  const Expression many = parse(repeated("$a + ", 8000) + "$a");
  EXPECT_THROW(substitute(many, {{"a", many}}), Error);
  const Expression deep = parse(repeated("f(", 40) + "$a" + repeated(")", 40));
  EXPECT_THROW(substitute(deep, {{"a", deep}}), Error);
}

}  // namespace
}  // namespace pith::form
