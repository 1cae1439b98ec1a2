// Expressions as text, with no more parentheses than the parser needs.
#include <algorithm>

#include "number.h"
#include "pith/form/expression.h"

namespace pith::form {
namespace {

using Kind = Expression::Kind;

// How tightly a node holds together; an operand that holds less than its place needs gets
// parentheses.
enum Precedence { kCoder, kSum, kBasis, kProduct, kPrimary };

Precedence precedence(Kind kind) {
  switch (kind) {
    case Kind::kCoder:
      return Precedence::kCoder;
    case Kind::kSum:
      return Precedence::kSum;
    case Kind::kBasis:
      return Precedence::kBasis;
    case Kind::kProduct:
      return Precedence::kProduct;
    default:
      return Precedence::kPrimary;
  }
}

class Printer {
 public:
  void expression(const Expression& e, Precedence least = Precedence::kCoder);
  void value(const Value& v) {
    std::visit([this](const auto& data) { print(data); }, v.data());
    check_size();
  }
  std::string take() { return std::move(out_); }

 private:
  void chain(const Expression& e, std::string_view sign, Precedence operand);
  void pair(const Expression& e, std::string_view sign, Precedence left, Precedence right);
  void call(const Expression& e);

  void print(int64_t integer) { append_number(integer, out_); }
  void print(double number) { append_number(number, out_); }
  void print(Percent percent);
  void print(Ratio ratio);
  void print(Range range);
  void print(const std::string& text);
  void print(const Expression& e) { expression(e); }

  // Nodes are shared, so a small expression in memory may be a long one on paper.
  void check_size() const {
    if (out_.size() > kMaxText) {
      fail(ErrorKind::kLimit, "an expression is longer than {} bytes as text", kMaxText);
    }
  }

  std::string out_;
};

void Printer::expression(const Expression& e, Precedence least) {
  const bool inside = precedence(e.kind()) < least;
  if (inside) out_ += '(';
  switch (e.kind()) {
    case Kind::kCall:
      call(e);
      break;
    case Kind::kVariable:
      out_ += '$';
      out_ += e.name();
      break;
    case Kind::kSum:
      chain(e, " + ", Precedence::kBasis);
      break;
    case Kind::kProduct:
      chain(e, " * ", Precedence::kPrimary);
      break;
    case Kind::kBasis:
      pair(e, " | ", Precedence::kProduct, Precedence::kBasis);
      break;
    case Kind::kCoder:
      pair(e, " > ", Precedence::kCoder, Precedence::kPrimary);
      break;
  }
  if (inside) out_ += ')';
  check_size();
}

void Printer::chain(const Expression& e, std::string_view sign, Precedence operand) {
  std::string_view between;
  for (const Expression& o : e.operands()) {
    out_ += between;
    expression(o, operand);
    between = sign;
  }
}

void Printer::pair(const Expression& e, std::string_view sign, Precedence left, Precedence right) {
  expression(e.operands()[0], left);
  out_ += sign;
  expression(e.operands()[1], right);
}

void Printer::call(const Expression& e) {
  out_ += e.name();
  if (e.arguments().empty()) return;
  char before = '(';
  for (const Argument& a : e.arguments()) {
    out_ += before;
    if (before == ',') out_ += ' ';
    if (!a.key.empty()) out_ += a.key + '=';
    value(a.value);
    before = ',';
  }
  out_ += ')';
}

void Printer::print(Percent percent) {
  append_number(percent.percent, out_);
  out_ += '%';
}

void Printer::print(Ratio ratio) {
  append_number(ratio.n, out_);
  out_ += ':';
  append_number(ratio.m, out_);
}

void Printer::print(Range range) {
  append_number(range.begin, out_);
  out_ += "..";
  if (range.end) append_number(*range.end, out_);
}

void Printer::print(const std::string& text) {
  constexpr std::string_view kEscaped = "\"\\\n\t\r", kWritten = "\"\\ntr";
  out_ += '"';
  for (const char c : text) {
    const size_t known = kEscaped.find(c);
    if (known != std::string_view::npos) {
      out_ += '\\';
      out_ += kWritten[known];
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      out_ += fmt::format("\\u{:04x}", static_cast<uint8_t>(c));
    } else {
      out_ += c;
    }
  }
  out_ += '"';
}

}  // namespace

std::string to_string(const Expression& expression) {
  Printer printer;
  printer.expression(expression);
  return printer.take();
}

std::string to_string(const Value& value) {
  Printer printer;
  printer.value(value);
  return printer.take();
}

}  // namespace pith::form
