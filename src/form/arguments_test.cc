#include "pith/form/arguments.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>

namespace pith::form {
namespace {

constexpr std::array<std::string_view, 3> kParameters = {"bits", "group", "scales"};

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kUsage);
    const std::string_view message = e.what();
    return std::string(message.substr(0, message.find('\n')));
  }
  return "none";
}

std::string error_of(const char* text) {
  return error_of([&] { Arguments(parse(text), kParameters); });
}

TEST(Arguments, ByPositionOrKey) {
  for (const char* text : {"uniform(4, 16)", "uniform(4, group=16)", "uniform(group=16, bits=4)"}) {
    const Arguments args(parse(text), kParameters);
    EXPECT_EQ(args.integer("bits", 2, 8), 4);
    EXPECT_EQ(args.integer("group", 1, 64, 32), 16);
    EXPECT_FALSE(args.has("scales"));
    EXPECT_EQ(args.form(), "uniform");
  }
}

TEST(Arguments, OutlastTheExpression) {
  const Arguments args = [] { return Arguments(parse("uniform(4)"), kParameters); }();
  EXPECT_EQ(args.integer("bits", 2, 8), 4);
}

TEST(Arguments, OnlyWhatTheFormTakes) {
  EXPECT_EQ(error_of("uniform(4, gruop=16)"),
            "line 1, column 18: uniform: no argument `gruop`; it takes `bits`, `group` and "
            "`scales`");
  EXPECT_EQ(error_of("uniform(4, 5, 6, 7)"),
            "line 1, column 18: uniform: too many arguments; it takes `bits`, `group` and "
            "`scales`");
  EXPECT_EQ(error_of("uniform(4, bits=5)"), "line 1, column 17: uniform: `bits` is given twice");
  EXPECT_EQ(error_of("a + b"), "line 1, column 3: this must be one form: name or name(…)");
  EXPECT_EQ(error_of([] { Arguments(parse("hadamard(4)"), {}); }),
            "line 1, column 10: hadamard: too many arguments; it takes no arguments");
}

TEST(Arguments, OfEachKind) {
  const Arguments args(
      parse("f(4, 0.5, 2%, 2:4, 0..9, true, \"model.0\", token, uniform(3) + sparse)"),
      {"i", "d", "p", "r", "a", "b", "t", "n", "e"});
  EXPECT_EQ(args.integer("i", 0, 9), 4);
  EXPECT_EQ(args.number("i", 0, 9), 4.0);
  EXPECT_EQ(args.number("d", 0, 1), 0.5);
  EXPECT_EQ(args.fraction("d"), 0.5);
  EXPECT_EQ(args.fraction("p"), 0.02);
  EXPECT_EQ(args.ratio("r"), (Ratio{2, 4}));
  EXPECT_EQ(args.range("a"), (Range{0, 9}));
  EXPECT_TRUE(args.flag("b"));
  EXPECT_EQ(args.text("t"), "model.0");
  EXPECT_EQ(args.name("n"), "token");
  constexpr std::array<std::string_view, 2> kAxes = {"channel", "token"};
  EXPECT_EQ(args.choice("n", kAxes), 1u);
  EXPECT_EQ(args.expression("e"), parse("uniform(3) + sparse"));
  EXPECT_EQ(args.expression("n"), Expression::call("token"));
  EXPECT_EQ(args.find("p")->get_if<Percent>()->percent, 2);
}

TEST(Arguments, InsteadOfWhatIsNotGiven) {
  const Arguments args(parse("f"), {"x"});
  EXPECT_EQ(args.integer("x", 2, 8, 5), 5);
  EXPECT_EQ(args.number("x", 0, 1, 0.25), 0.25);
  EXPECT_EQ(args.fraction("x", 0.01), 0.01);
  EXPECT_EQ(args.ratio("x", Ratio{1, 2}), (Ratio{1, 2}));
  EXPECT_EQ(args.range("x", Range{0, {}}), (Range{0, {}}));
  EXPECT_FALSE(args.flag("x", false));
  EXPECT_EQ(args.text("x", "t"), "t");
  EXPECT_EQ(args.name("x", "n"), "n");
  EXPECT_EQ(args.choice("x", {}, 3), 3u);
  EXPECT_EQ(args.expression("x", parse("a")), parse("a"));
}

TEST(Arguments, ErrorsSayWhatIsWanted) {
  const auto error = [](const char* text, const std::function<void(const Arguments&)>& get) {
    return error_of([&] { get(Arguments(parse(text), {"bits"})); });
  };
  const auto integer = [](const Arguments& a) { a.integer("bits", 2, 8); };
  EXPECT_EQ(error("uniform(9)", integer),
            "line 1, column 9: uniform: `bits` must be an integer from 2 to 8, got 9");
  EXPECT_EQ(error("uniform(1)", integer),
            "line 1, column 9: uniform: `bits` must be an integer from 2 to 8, got 1");
  EXPECT_EQ(error("uniform(bits=4.5)", integer),
            "line 1, column 14: uniform: `bits` must be an integer from 2 to 8, got 4.5");
  EXPECT_EQ(error("uniform", integer),
            "line 1, column 1: uniform: `bits` is missing: it must be an integer from 2 to 8");
  EXPECT_EQ(error("uniform(nan)", [](const Arguments& a) { a.number("bits", -0.5, 1e9); }),
            "line 1, column 9: uniform: `bits` must be a number from -0.5 to 1000000000, got nan");
  EXPECT_EQ(error("sparse(101%)", [](const Arguments& a) { a.fraction("bits"); }),
            "line 1, column 8: sparse: `bits` must be a share from 0% to 100%, got 101%");
  EXPECT_EQ(error("f(maybe)", [](const Arguments& a) { a.flag("bits"); }),
            "line 1, column 3: f: `bits` must be true or false, got maybe");
  EXPECT_EQ(error("f(g(1))", [](const Arguments& a) { a.name("bits"); }),
            "line 1, column 3: f: `bits` must be a name, got g(1)");
  constexpr std::array<std::string_view, 3> kGrids = {"even", "gaussian", "learned"};
  EXPECT_EQ(error("f(odd)", [&](const Arguments& a) { a.choice("bits", kGrids); }),
            "line 1, column 3: f: `bits` must be `even`, `gaussian` or `learned`, got odd");
  EXPECT_EQ(error("f(4)", [](const Arguments& a) { a.expression("bits"); }),
            "line 1, column 3: f: `bits` must be a form, got 4");
  EXPECT_EQ(error("f(\"äääääääääääääääääääääääääääääääääää\")", integer),
            "line 1, column 3: f: `bits` must be an integer from 2 to 8, got "
            "\"äääääääääääääääääää…");
  EXPECT_EQ(error_of([] {
              const Value nine(9);
              Arguments(Expression::call("f", {{"", nine}}), {"bits"}).integer("bits", 2, 8);
            }),
            "f: `bits` must be an integer from 2 to 8, got 9");
}

}  // namespace
}  // namespace pith::form
