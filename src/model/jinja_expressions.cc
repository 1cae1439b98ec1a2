// By recursive descent, with Jinja's levels of precedence: choice, or, and, not, comparisons, + and
// -, ~, * / // %, **, signs; then what follows a value: .name [index] (call) |filter is test.
#include "jinja_expressions.h"

#include <algorithm>
#include <charconv>

namespace pith::model::jinja {
namespace {

using Kind = Expr::Kind;

Expr make(Kind kind, size_t offset, std::string name = "") {
  Expr expr{.kind = kind};
  expr.offset = offset;
  expr.name = std::move(name);
  return expr;
}

uint32_t height(const ExprPtr& expr) { return expr ? expr->height : 0; }

bool is_comparison(const Token& t) {
  constexpr std::string_view kMarks[] = {"==", "!=", "<", "<=", ">", ">="};
  return std::any_of(std::begin(kMarks), std::end(kMarks), [&](auto mark) { return t.is(mark); });
}

}  // namespace

ExpressionParser::Nested::Nested(ExpressionParser& parser) : depth_(parser.depth_) {
  if (depth_ >= kMaxHeight) {
    throw parser.source_.error(parser.token().offset, ErrorKind::kLimit,
                               fmt::format("it nests at most {} deep", kMaxHeight));
  }
  ++depth_;
}

bool ExpressionParser::accept(std::string_view mark) {
  if (!token().is(mark)) return false;
  advance();
  return true;
}

bool ExpressionParser::accept_name(std::string_view word) {
  if (!token().name(word)) return false;
  advance();
  return true;
}

void ExpressionParser::expect(std::string_view mark) {
  if (!accept(mark)) unexpected(fmt::format("`{}`", mark));
}

std::string ExpressionParser::name(std::string_view wanted) {
  if (token().kind != TokenKind::kName) unexpected(wanted);
  return advance().text;
}

void ExpressionParser::unexpected(std::string_view wanted) const {
  const Token& t = token();
  std::string found;
  switch (t.kind) {
    case TokenKind::kEnd:
      found = "the end";
      break;
    case TokenKind::kData:
    case TokenKind::kText:
      found = "text";
      break;
    case TokenKind::kBlockBegin:
      found = "`{%`";
      break;
    case TokenKind::kPrintBegin:
      found = "`{{`";
      break;
    case TokenKind::kBlockEnd:
      found = "`%}`";
      break;
    case TokenKind::kPrintEnd:
      found = "`}}`";
      break;
    default:
      found = fmt::format("`{}`", t.text.substr(0, 40));
  }
  source_.bad(t.offset, fmt::format("expected {}, found {}", wanted, found));
}

ExprPtr ExpressionParser::made(Expr expr) const {
  uint32_t highest = 0;
  for (const ExprPtr& part : expr.parts) highest = std::max(highest, height(part));
  for (const auto& argument : expr.named) highest = std::max(highest, height(argument.second));
  expr.height = highest + 1;
  if (expr.height > kMaxHeight) {
    throw source_.error(expr.offset, ErrorKind::kLimit,
                        fmt::format("an expression of more than {} levels", kMaxHeight));
  }
  return std::make_unique<const Expr>(std::move(expr));
}

ExprPtr ExpressionParser::binary(Kind kind, std::string op, size_t offset, ExprPtr a, ExprPtr b) {
  Expr expr = make(kind, offset, std::move(op));
  expr.parts.push_back(std::move(a));
  expr.parts.push_back(std::move(b));
  return made(std::move(expr));
}

ExprPtr ExpressionParser::expression(bool with_choice) {
  const Nested nested(*this);
  return with_choice ? choice() : disjunction();
}

ExprPtr ExpressionParser::tuple() {
  const size_t offset = token().offset;
  ExprPtr first = expression();
  if (!token().is(",")) return first;
  Expr all = make(Kind::kTuple, offset);
  all.parts.push_back(std::move(first));
  while (accept(",")) {
    const bool ends = token().is(")") || token().kind == TokenKind::kBlockEnd ||
                      token().kind == TokenKind::kPrintEnd;
    if (ends) break;
    all.parts.push_back(expression());
  }
  return made(std::move(all));
}

ExprPtr ExpressionParser::choice() {
  ExprPtr value = disjunction();
  while (token().name("if")) {
    Expr expr = make(Kind::kChoice, advance().offset);
    expr.parts.push_back(std::move(value));
    expr.parts.push_back(disjunction());
    expr.parts.push_back(accept_name("else") ? expression() : nullptr);
    value = made(std::move(expr));
  }
  return value;
}

ExprPtr ExpressionParser::disjunction() {
  ExprPtr value = conjunction();
  if (!token().name("or")) return value;
  Expr all = make(Kind::kOr, token().offset);
  all.parts.push_back(std::move(value));
  while (accept_name("or")) all.parts.push_back(conjunction());
  return made(std::move(all));
}

ExprPtr ExpressionParser::conjunction() {
  ExprPtr value = negation();
  if (!token().name("and")) return value;
  Expr all = make(Kind::kAnd, token().offset);
  all.parts.push_back(std::move(value));
  while (accept_name("and")) all.parts.push_back(negation());
  return made(std::move(all));
}

ExprPtr ExpressionParser::negation() {
  if (!token().name("not")) return comparison();
  const Nested nested(*this);
  Expr expr = make(Kind::kNot, advance().offset);
  expr.parts.push_back(negation());
  return made(std::move(expr));
}

// One comparison; a < b < c, which no template needs, is refused by what follows.
ExprPtr ExpressionParser::comparison() {
  ExprPtr value = addition();
  const size_t offset = token().offset;
  if (is_comparison(token())) {
    std::string op = advance().text;
    return binary(Kind::kCompare, std::move(op), offset, std::move(value), addition());
  }
  if (accept_name("in")) return binary(Kind::kCompare, "in", offset, std::move(value), addition());
  if (token().name("not") && token_after().name("in")) {
    advance();
    advance();
    return binary(Kind::kCompare, "not in", offset, std::move(value), addition());
  }
  return value;
}

ExprPtr ExpressionParser::addition() {
  ExprPtr value = concatenation();
  while (token().is("+") || token().is("-")) {
    const Token op = advance();
    value = binary(Kind::kBinary, op.text, op.offset, std::move(value), concatenation());
  }
  return value;
}

ExprPtr ExpressionParser::concatenation() {
  ExprPtr value = multiplication();
  while (token().is("~")) {
    const Token op = advance();
    value = binary(Kind::kBinary, op.text, op.offset, std::move(value), multiplication());
  }
  return value;
}

ExprPtr ExpressionParser::multiplication() {
  ExprPtr value = power();
  while (token().is("*") || token().is("/") || token().is("//") || token().is("%")) {
    const Token op = advance();
    value = binary(Kind::kBinary, op.text, op.offset, std::move(value), power());
  }
  return value;
}

ExprPtr ExpressionParser::power() {
  ExprPtr value = unary(true);
  while (token().is("**")) {
    const Token op = advance();
    value = binary(Kind::kBinary, op.text, op.offset, std::move(value), unary(true));
  }
  return value;
}

ExprPtr ExpressionParser::unary(bool with_filters) {
  ExprPtr value;
  if (token().is("-") || token().is("+")) {
    const Nested nested(*this);
    const Token sign = advance();
    value = unary(false);
    if (sign.is("-")) {
      Expr expr = make(Kind::kNegate, sign.offset);
      expr.parts.push_back(std::move(value));
      value = made(std::move(expr));
    }
  } else {
    value = primary();
  }
  value = postfix(std::move(value));
  return with_filters ? filters(std::move(value)) : std::move(value);
}

ExprPtr ExpressionParser::primary() {
  const Token& t = token();
  Expr literal = make(Kind::kLiteral, t.offset);
  const char* const begin = t.text.data();
  const char* const end = begin + t.text.size();
  switch (t.kind) {
    case TokenKind::kName:
      return word();
    case TokenKind::kText: {
      std::string text = advance().text;  // strings side by side are one
      while (token().kind == TokenKind::kText) text += advance().text;
      literal.literal = Value(std::move(text));
      return made(std::move(literal));
    }
    case TokenKind::kInteger: {
      int64_t value = 0;
      if (std::from_chars(begin, end, value).ec != std::errc()) {
        source_.bad(t.offset, "an integer too large");
      }
      literal.literal = Value(value);
      advance();
      return made(std::move(literal));
    }
    case TokenKind::kReal: {
      double value = 0;
      if (std::from_chars(begin, end, value).ec != std::errc()) {
        source_.bad(t.offset, "a number too large or too small");
      }
      literal.literal = Value(value);
      advance();
      return made(std::move(literal));
    }
    default:
      break;
  }
  if (t.is("(")) return parenthesized();
  if (t.is("[")) return list();
  if (t.is("{")) return dict();
  unexpected("a value");
}

ExprPtr ExpressionParser::word() {
  const Token t = advance();
  Expr expr = make(Kind::kLiteral, t.offset);
  if (t.text == "true" || t.text == "True") {
    expr.literal = Value(true);
  } else if (t.text == "false" || t.text == "False") {
    expr.literal = Value(false);
  } else if (t.text != "none" && t.text != "None") {
    expr = make(Kind::kName, t.offset, t.text);
  }
  return made(std::move(expr));
}

ExprPtr ExpressionParser::parenthesized() {
  const size_t offset = advance().offset;
  if (accept(")")) return made(make(Kind::kTuple, offset));
  ExprPtr inside = tuple();
  expect(")");
  return inside;
}

ExprPtr ExpressionParser::list() {
  Expr all = make(Kind::kList, advance().offset);
  while (!token().is("]")) {
    all.parts.push_back(expression());
    if (!accept(",")) break;
  }
  expect("]");
  return made(std::move(all));
}

ExprPtr ExpressionParser::dict() {
  Expr all = make(Kind::kDict, advance().offset);
  while (!token().is("}")) {
    all.parts.push_back(expression());
    expect(":");
    all.parts.push_back(expression());
    if (!accept(",")) break;
  }
  expect("}");
  return made(std::move(all));
}

ExprPtr ExpressionParser::postfix(ExprPtr subject) {
  while (true) {
    if (token().is(".")) {
      Expr expr = make(Kind::kAttribute, advance().offset);
      if (token().kind == TokenKind::kInteger) {
        source_.bad(token().offset, "an index after a dot; write [index]");
      }
      expr.name = name("the name of an attribute");
      expr.parts.push_back(std::move(subject));
      subject = made(std::move(expr));
    } else if (token().is("[")) {
      subject = subscript(std::move(subject));
    } else if (token().is("(")) {
      Expr call = make(Kind::kCall, token().offset);
      call.parts.push_back(std::move(subject));
      arguments(call);
      subject = made(std::move(call));
    } else {
      return subject;
    }
  }
}

ExprPtr ExpressionParser::filters(ExprPtr subject) {
  while (true) {
    if (token().is("|")) {
      Expr filter = make(Kind::kFilter, advance().offset);
      filter.name = name("the name of a filter");
      filter.parts.push_back(std::move(subject));
      if (token().is("(")) arguments(filter);
      subject = made(std::move(filter));
    } else if (token().name("is")) {
      subject = test(std::move(subject));
    } else if (token().is("(")) {
      Expr call = make(Kind::kCall, token().offset);
      call.parts.push_back(std::move(subject));
      arguments(call);
      subject = made(std::move(call));
    } else {
      return subject;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr subject) {
  Expr expr = make(Kind::kIndex, advance().offset);
  expr.parts.push_back(std::move(subject));
  expr.parts.push_back(token().is(":") ? nullptr : expression());
  if (token().is(":")) {
    expr.kind = Kind::kSlice;
    for (int i = 0; i < 2; ++i) {
      const bool given = accept(":") && !token().is(":") && !token().is("]");
      expr.parts.push_back(given ? expression() : nullptr);
    }
  }
  expect("]");
  return made(std::move(expr));
}

ExprPtr ExpressionParser::test(ExprPtr subject) {
  const size_t offset = advance().offset;
  const bool negated = accept_name("not");
  Expr expr = make(Kind::kTest, offset, name("the name of a test"));
  expr.parts.push_back(std::move(subject));
  const Token& t = token();
  const bool value_follows =
      t.kind == TokenKind::kText || t.kind == TokenKind::kInteger || t.kind == TokenKind::kReal ||
      t.is("[") || t.is("{") ||
      (t.kind == TokenKind::kName && t.text != "else" && t.text != "or" && t.text != "and" &&
       t.text != "if" && t.text != "is" && t.text != "in" && t.text != "not");
  if (t.is("(")) {
    arguments(expr);
  } else if (value_follows) {
    expr.parts.push_back(postfix(primary()));
  }
  if (!negated) return made(std::move(expr));
  Expr inverse = make(Kind::kNot, offset);
  inverse.parts.push_back(made(std::move(expr)));
  return made(std::move(inverse));
}

void ExpressionParser::arguments(Expr& call) {
  expect("(");
  while (!token().is(")")) {
    if (token().kind == TokenKind::kName && token_after().is("=")) {
      std::string key = advance().text;
      advance();
      call.named.emplace_back(std::move(key), expression());
    } else {
      if (!call.named.empty()) unexpected("a named argument");
      call.parts.push_back(expression());
    }
    if (!accept(",")) break;
  }
  expect(")");
}

}  // namespace pith::model::jinja
