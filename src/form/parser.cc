// A parser by recursive descent: one function for each level of precedence. Chains of operators
// are loops, so the stack grows only with parentheses, whose nesting is bounded.
#include <unordered_set>

#include "lexer.h"
#include "number.h"
#include "pith/form/expression.h"

namespace pith::form {
namespace {

constexpr std::string_view kForm = "a form: a name, $name or `(`";
constexpr std::string_view kValue = "a value: a number, a form or text in quotes";

std::shared_ptr<const std::string> owned(std::string_view text) {
  if (text.size() > kMaxText) {
    fail(ErrorKind::kLimit, "an expression of {} bytes; at most {} are read", text.size(),
         kMaxText);
  }
  return std::make_shared<const std::string>(text);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(owned(text)), token_(lexer_.next()) {}

  Expression expression();
  Definition definition();
  void expect_end(std::string_view wanted) const {
    if (!at_end()) unexpected(wanted);
  }
  bool at_end() const { return token_.kind == TokenKind::kEnd; }
  Place here() const { return lexer_.place(token_.offset); }

 private:
  // While it lives, the parser is one level deeper.
  class Nested {
   public:
    explicit Nested(Parser& parser) : depth_(parser.depth_) {
      if (depth_ >= kMaxDepth) {
        throw parser.here().error(ErrorKind::kLimit,
                                  fmt::format("parentheses nest at most {} deep", kMaxDepth));
      }
      ++depth_;
    }
    ~Nested() { --depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    uint32_t& depth_;
  };

  Expression sum();
  Expression basis();
  Expression product();
  Expression primary();
  Expression parenthesized();
  Expression coder();
  std::vector<Argument> arguments();
  Argument argument();
  Value value();
  Value numeric();
  int64_t integer(std::string_view wanted);

  Token advance() { return std::exchange(token_, lexer_.next()); }
  bool accept(std::string_view mark) {
    const bool found = token_.is(mark);
    if (found) advance();
    return found;
  }
  [[noreturn]] void unexpected(std::string_view wanted) const;

  Lexer lexer_;
  Token token_;
  uint32_t depth_ = 0;
};

void Parser::unexpected(std::string_view wanted) const {
  constexpr size_t kShown = 24;
  // All but text in quotes is ASCII and can be cut anywhere.
  const std::string found = at_end()                          ? "the end"
                            : token_.kind == TokenKind::kText ? "text in quotes"
                            : token_.text.size() > kShown
                                ? fmt::format("`{}…`", token_.text.substr(0, kShown))
                                : fmt::format("`{}`", token_.text);
  throw here().error(ErrorKind::kUsage, fmt::format("expected {}, found {}", wanted, found));
}

// sum { ">" coder }
Expression Parser::expression() {
  Expression form = sum();
  if (!token_.is(">")) return form;
  while (token_.is(">")) {
    const Place place = here();
    advance();
    form = Expression::coder(form, coder(), place);
  }
  if (token_.is("+") || token_.is("*") || token_.is("|")) {
    throw here().error(ErrorKind::kUsage,
                       fmt::format("`>` codes all that stands before it and ends the form; to code "
                                   "only a part, write (a > coder) {} b",
                                   token_.text));
  }
  return form;
}

// basis { "+" basis }
Expression Parser::sum() {
  std::vector<Expression> terms = {basis()};
  const Place place = here();
  while (accept("+")) terms.push_back(basis());
  return Expression::sum(std::move(terms), place);
}

// product [ "|" basis ]
Expression Parser::basis() {
  std::vector<Expression> parts = {product()};
  std::vector<Place> places;
  while (token_.is("|")) {
    places.push_back(here());
    advance();
    parts.push_back(product());
  }
  Expression form = parts.back();
  for (size_t i = places.size(); i-- > 0;) form = Expression::basis(parts[i], form, places[i]);
  return form;
}

// primary { "*" primary }
Expression Parser::product() {
  std::vector<Expression> factors = {primary()};
  const Place place = here();
  while (accept("*")) factors.push_back(primary());
  return Expression::product(std::move(factors), place);
}

// name [ "(" arguments ")" ] | "$" name | "(" expression ")"
Expression Parser::primary() {
  if (token_.is("(")) return parenthesized();
  const Place place = here();
  if (token_.kind == TokenKind::kVariable) {
    return Expression::variable(std::string(advance().text.substr(1)), place);
  }
  if (token_.kind != TokenKind::kName) unexpected(kForm);
  std::string name(advance().text);
  return Expression::call(std::move(name), arguments(), place);
}

Expression Parser::parenthesized() {
  const Nested nested(*this);
  advance();
  Expression inside = expression();
  if (!accept(")")) unexpected("an operator or `)`");
  return inside;
}

Expression Parser::coder() {
  if (token_.kind != TokenKind::kName && token_.kind != TokenKind::kVariable && !token_.is("(")) {
    unexpected("a coder: a name, name(…) or $name");
  }
  return primary();
}

std::vector<Argument> Parser::arguments() {
  std::vector<Argument> all;
  if (!token_.is("(")) return all;
  const Nested nested(*this);
  advance();
  if (accept(")")) return all;
  do {
    all.push_back(argument());
  } while (accept(","));
  if (!accept(")")) unexpected("`,` or `)`");
  return all;
}

Argument Parser::argument() {
  std::string key;
  if (token_.kind == TokenKind::kName && lexer_.next_is('=')) {
    key = advance().text;
    advance();
  }
  return {std::move(key), value()};
}

Value Parser::value() {
  const Place place = here();
  switch (token_.kind) {
    case TokenKind::kNumber:
      return numeric();
    case TokenKind::kText:
      return {advance().content, place};
    case TokenKind::kName:
    case TokenKind::kVariable:
      return expression();
    default:
      if (!token_.is("(")) unexpected(kValue);
      return expression();
  }
}

// number [ "%" ] | integer ":" integer | integer ".." [ integer ]
Value Parser::numeric() {
  const Place place = here();
  const Number number = read_number(advance().text, place);
  const auto* whole = std::get_if<int64_t>(&number);
  if (accept("%")) {
    return {Percent{whole ? static_cast<double>(*whole) : std::get<double>(number)}, place};
  }
  if (token_.is(":") || token_.is("..")) {
    if (!whole) {
      throw place.error(ErrorKind::kUsage, "ratios n:m and ranges a..b are of integers");
    }
    if (advance().text == ":") return {Ratio{*whole, integer("an integer: a ratio is n:m")}, place};
    Range range{*whole, {}};
    if (token_.kind == TokenKind::kNumber) range.end = integer("an integer");
    return {range, place};
  }
  return whole ? Value(*whole, place) : Value(std::get<double>(number), place);
}

int64_t Parser::integer(std::string_view wanted) {
  if (token_.kind != TokenKind::kNumber) unexpected(wanted);
  const Number number = read_number(token_.text, here());
  const auto* whole = std::get_if<int64_t>(&number);
  if (!whole) unexpected(wanted);
  advance();
  return *whole;
}

Definition Parser::definition() {
  const Place place = here();
  if (token_.kind != TokenKind::kName) unexpected("a definition: name = form");
  std::string name(advance().text);
  if (!accept("=")) unexpected("`=`");
  return {std::move(name), expression(), place};
}

}  // namespace

Expression parse(std::string_view text) {
  Parser parser(text);
  Expression whole = parser.expression();
  parser.expect_end("an operator or the end");
  return whole;
}

Definition parse_definition(std::string_view text) {
  Parser parser(text);
  Definition definition = parser.definition();
  parser.expect_end("an operator or the end");
  return definition;
}

std::vector<Definition> parse_definitions(std::string_view text) {
  Parser parser(text);
  std::vector<Definition> all;
  std::unordered_set<std::string> names;
  while (!parser.at_end()) {
    all.push_back(parser.definition());
    if (names.insert(all.back().name).second) continue;
    throw all.back().place.error(ErrorKind::kUsage,
                                 fmt::format("`{}` is defined twice", all.back().name));
  }
  return all;
}

}  // namespace pith::form
