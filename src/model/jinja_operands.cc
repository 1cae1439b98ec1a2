// What stands between operators: literals, names, lists, mappings, and what follows a value: .name
// [index] (call) |filter is test.
#include <charconv>

#include "jinja_expressions.h"

namespace pith::model::jinja {

using Kind = Expr::Kind;

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
      subject = call(std::move(subject));
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
      subject = call(std::move(subject));
    } else {
      return subject;
    }
  }
}

ExprPtr ExpressionParser::call(ExprPtr subject) {
  Expr expr = make(Kind::kCall, token().offset);
  expr.parts.push_back(std::move(subject));
  arguments(expr);
  return made(std::move(expr));
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
