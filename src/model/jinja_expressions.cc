// By recursive descent, with Jinja's levels of precedence: choice, or, and, not, comparisons, + and
// -, ~, * / // %, **, signs. What stands between operators: jinja_operands.cc.
#include "jinja_expressions.h"

#include <algorithm>

namespace pith::model::jinja {
namespace {

uint32_t height(const ExprPtr& expr) { return expr ? expr->height : 0; }

bool is_comparison(const Token& t) {
  constexpr std::string_view kMarks[] = {"==", "!=", "<", "<=", ">", ">="};
  return std::any_of(std::begin(kMarks), std::end(kMarks), [&](auto mark) { return t.is(mark); });
}

}  // namespace

using Kind = Expr::Kind;

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

Expr ExpressionParser::make(Kind kind, size_t offset, std::string name) {
  Expr expr{.kind = kind};
  expr.offset = offset;
  expr.name = std::move(name);
  return expr;
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

ExprPtr ExpressionParser::joined(Kind kind, std::string_view word, Operand operand) {
  ExprPtr value = (this->*operand)();
  if (!token().name(word)) return value;
  Expr all = make(kind, token().offset);
  all.parts.push_back(std::move(value));
  while (accept_name(word)) all.parts.push_back((this->*operand)());
  return made(std::move(all));
}

ExprPtr ExpressionParser::disjunction() {
  return joined(Kind::kOr, "or", &ExpressionParser::conjunction);
}

ExprPtr ExpressionParser::conjunction() {
  return joined(Kind::kAnd, "and", &ExpressionParser::negation);
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

ExprPtr ExpressionParser::left_to_right(std::initializer_list<std::string_view> marks,
                                        Operand operand) {
  ExprPtr value = (this->*operand)();
  while (std::any_of(marks.begin(), marks.end(), [&](auto mark) { return token().is(mark); })) {
    const Token op = advance();
    value = binary(Kind::kBinary, op.text, op.offset, std::move(value), (this->*operand)());
  }
  return value;
}

ExprPtr ExpressionParser::addition() {
  return left_to_right({"+", "-"}, &ExpressionParser::concatenation);
}

ExprPtr ExpressionParser::concatenation() {
  return left_to_right({"~"}, &ExpressionParser::multiplication);
}

ExprPtr ExpressionParser::multiplication() {
  return left_to_right({"*", "/", "//", "%"}, &ExpressionParser::power);
}

ExprPtr ExpressionParser::power() { return left_to_right({"**"}, &ExpressionParser::factor); }

ExprPtr ExpressionParser::factor() { return filters(unary()); }

ExprPtr ExpressionParser::unary() {
  ExprPtr value;
  if (token().is("-") || token().is("+")) {
    const Nested nested(*this);
    const Token sign = advance();
    value = unary();
    if (sign.is("-")) {
      Expr expr = make(Kind::kNegate, sign.offset);
      expr.parts.push_back(std::move(value));
      value = made(std::move(expr));
    }
  } else {
    value = primary();
  }
  return postfix(std::move(value));
}

}  // namespace pith::model::jinja
