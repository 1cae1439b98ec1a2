// The parser of expressions, on which that of statements stands.
#pragma once

#include "jinja_program.h"

namespace pith::model::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(const Source& source) : source_(source), tokens_(tokenize(source)) {}

 protected:
  ExprPtr expression(bool with_choice = true);
  // One, or several separated by commas: a tuple.
  ExprPtr tuple();

  const Token& token() const { return tokens_[at_]; }
  const Token& token_after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& advance() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool accept(std::string_view mark);
  bool accept_name(std::string_view word);
  void expect(std::string_view mark);
  std::string name(std::string_view wanted);
  [[noreturn]] void unexpected(std::string_view wanted) const;

  // While it lives, the parser is one level deeper.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser);
    ~Nested() { --depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    uint32_t& depth_;
  };

  const Source& source_;

 private:
  using Operand = ExprPtr (ExpressionParser::*)();

  // From the loosest to the tightest.
  ExprPtr choice();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr addition();
  ExprPtr concatenation();
  ExprPtr multiplication();
  ExprPtr power();
  ExprPtr factor();
  ExprPtr unary();
  ExprPtr primary();
  ExprPtr word();
  ExprPtr parenthesized();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr subject);
  ExprPtr filters(ExprPtr subject);
  ExprPtr call(ExprPtr subject);
  ExprPtr subscript(ExprPtr subject);
  ExprPtr test(ExprPtr subject);
  void arguments(Expr& call);
  // a or b or c: one node; a single operand is itself.
  ExprPtr joined(Expr::Kind kind, std::string_view word, Operand operand);
  // a + b - c: (a + b) - c.
  ExprPtr left_to_right(std::initializer_list<std::string_view> marks, Operand operand);
  ExprPtr binary(Expr::Kind kind, std::string op, size_t offset, ExprPtr a, ExprPtr b);
  static Expr make(Expr::Kind kind, size_t offset, std::string name = "");
  // Checks how high the tree has become.
  ExprPtr made(Expr expr) const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t depth_ = 0;
};

}  // namespace pith::model::jinja
