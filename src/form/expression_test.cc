// The notation, example by example.
#include "pith/form/expression.h"

#include <gtest/gtest.h>

#include "testing.h"

namespace pith::form {
namespace {

using Kind = Expression::Kind;

std::string canonical(std::string_view text) { return to_string(parse(text)); }

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
