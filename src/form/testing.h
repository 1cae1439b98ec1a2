// Random expressions, long texts, and ways to write them that are not canonical.
#pragma once

#include <rapidcheck.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "number.h"
#include "pith/form/expression.h"
#include "utf8.h"

namespace pith::form {

// rc::check with a number of cases of its own.
template <class Property>
bool holds_for(int cases, const Property& property) {
  auto params = rc::detail::configuration().testParams;
  params.maxSuccess = cases;
  const auto result = rc::detail::checkTestable(property, rc::detail::TestMetadata(), params);
  rc::detail::printResultMessage(result, std::cerr);
  return result.template is<rc::detail::SuccessResult>();
}

inline std::string repeated(std::string_view piece, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += piece;
  return out;
}

// Of even chance at every size of a test: sizes only bound the numbers and texts.
inline size_t random_below(size_t n) {
  return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<size_t>(0, n));
}

inline std::string random_name() {
  return *rc::gen::element<std::string>("a", "uniform", "e4", "_", "x1", "nan", "inf", "q4_K",
                                        "true", "Z");
}

inline std::string random_text() {
  std::string out;
  const size_t length = random_below(6);
  for (size_t i = 0; i < length; ++i) {
    const auto code =
        *rc::gen::oneOf(rc::gen::inRange<uint32_t>(0, 0x80), rc::gen::inRange<uint32_t>(0, 0xD800),
                        rc::gen::inRange<uint32_t>(0xE000, 0x110000));
    append_utf8(code, out);
  }
  return out;
}

inline int64_t random_integer() {
  const auto small = *rc::gen::arbitrary<int64_t>();
  const auto spread = static_cast<int64_t>(static_cast<uint64_t>(small) * 0x9E3779B97F4A7C15u);
  switch (random_below(4)) {
    case 0:
      return spread;
    case 1:
      return *rc::gen::element<int64_t>(INT64_MIN, INT64_MAX, 0, -1);
    default:
      return small;
  }
}

inline double random_double() {
  const auto integer = random_integer();
  const auto any = std::bit_cast<double>(integer);
  switch (random_below(4)) {
    case 0:
      return std::isfinite(any) ? any : 0.1;
    case 1:
      return *rc::gen::element(0x1p63, -0x1p63, 0x1.8p63, 5e-324, 1.7976931348623157e308, -0.0,
                               1e22, 12345678901234567000.0, 1e-7);
    default:
      return static_cast<double>(integer) / 64;
  }
}

inline Expression random_expression(int depth);

inline Value random_value(int depth) {
  const auto positive = [] { return std::max<int64_t>(1, random_integer() & INT64_MAX); };
  switch (random_below(depth > 0 ? 9 : 7)) {
    case 0:
      return random_integer();
    case 1:
      return random_double();
    case 2:
      return Percent{random_double()};
    case 3:
      return Ratio{positive(), positive()};
    case 4: {
      const int64_t a = random_integer(), b = random_integer();
      return (a < 0) == (b < 0) ? Range{std::min(a, b), std::max(a, b)} : Range{a, {}};
    }
    case 5:
      return random_text();
    case 6:
      return Expression::call(random_name());
    default:
      return random_expression(depth - 1);
  }
}

inline Expression random_call(int depth) {
  std::vector<Argument> arguments;
  const size_t positions = random_below(3);
  for (size_t i = 0; i < positions; ++i) arguments.push_back({"", random_value(depth)});
  for (const char* key : {"bits", "group", "k"}) {
    if (random_below(3) == 2) arguments.push_back({key, random_value(depth)});
  }
  return Expression::call(random_name(), std::move(arguments));
}

inline Expression random_expression(int depth) {
  const auto operand = [&] { return random_expression(depth - 1); };
  const auto operands = [&] {
    std::vector<Expression> out;
    const size_t n = 1 + random_below(4);
    for (size_t i = 0; i < n; ++i) out.push_back(operand());
    return out;
  };
  switch (random_below(depth > 0 ? 9 : 3)) {
    case 0:
      return Expression::call(random_name());
    case 1:
      return Expression::variable(random_name());
    case 2:
    case 3:
      return random_call(depth);
    case 4:
    case 5:
      return Expression::sum(operands());
    case 6:
      return Expression::product(operands());
    case 7:
      return Expression::basis(operand(), operand());
    default:
      return Expression::coder(operand(), random_below(3) == 0 ? Expression::variable(random_name())
                                                               : random_call(depth - 1));
  }
}

// Writes an expression with every parenthesis there could be, and white space and comments between
// the tokens.
class NoisyWriter {
 public:
  std::string take() { return std::move(out_); }

  void expression(const Expression& e) {
    using Kind = Expression::Kind;
    const auto sign = [&] {
      return e.kind() == Kind::kSum       ? "+"
             : e.kind() == Kind::kProduct ? "*"
             : e.kind() == Kind::kBasis   ? "|"
                                          : ">";
    };
    token("(");
    if (e.kind() == Kind::kVariable) token("$" + e.name());
    if (e.is_call()) call(e);
    for (size_t i = 0; i < e.operands().size(); ++i) {
      if (i > 0) token(sign());
      expression(e.operands()[i]);
    }
    token(")");
  }

 private:
  void token(std::string_view text) {
    out_ += *rc::gen::element<std::string>("", " ", "\n", "\t\r\n", "# ) + \" $\n", "#\xC3\xA4\n ");
    out_ += text;
  }

  void call(const Expression& e) {
    token(e.name());
    if (e.arguments().empty() && random_below(2) == 0) return;
    token("(");
    bool first = true;
    for (const Argument& a : e.arguments()) {
      if (!std::exchange(first, false)) token(",");
      if (!a.key.empty()) {
        token(a.key);
        token("=");
      }
      value(a.value);
    }
    token(")");
  }

  void value(const Value& v) {
    if (const auto* e = v.get_if<Expression>()) return expression(*e);
    if (const auto* text = v.get_if<std::string>()) return token(escaped(*text));
    if (const auto* integer = v.get_if<int64_t>()) return token(written(*integer));
    if (const auto* ratio = v.get_if<Ratio>()) {
      token(written(ratio->n));
      token(":");
      return token(written(ratio->m));
    }
    if (const auto* range = v.get_if<Range>()) {
      token(written(range->begin));
      token("..");
      return range->end ? token(written(*range->end)) : void();
    }
    token(to_string(v));  // decimals and percentages have no other way that matters
  }

  // 4, 4.0, 4e0, 0004
  static std::string written(int64_t integer) {
    std::string digits;
    append_number(integer, digits);
    if (integer < 0 || integer > int64_t{1} << 53) return digits;
    return *rc::gen::element(digits, digits + ".0", digits + "e0", "000" + digits,
                             digits + "000E-3");
  }

  static std::string escaped(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      const bool ascii = static_cast<uint8_t>(c) < 0x80;
      const bool must = c == '"' || c == '\\' || static_cast<uint8_t>(c) < 0x20 || c == 0x7F;
      if (must || (ascii && random_below(3) == 0)) {
        out += fmt::format("\\u{:04X}", static_cast<uint8_t>(c));
      } else {
        out += c;
      }
    }
    return out + '"';
  }

  std::string out_;
};

inline std::string noisily(const Expression& e) {
  NoisyWriter writer;
  writer.expression(e);
  return writer.take();
}

}  // namespace pith::form
