// The words of the notation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "pith/form/place.h"

namespace pith::form {

enum class TokenKind : uint8_t {
  kName,      // letters, digits, _
  kVariable,  // $name
  kNumber,    // [-]digits[.digits][e[±]digits]
  kText,      // "…"
  kMark,      // one of + * | > ( ) , = % : and ..
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;  // as written
  size_t offset = 0;      // of the end: just behind the last token
  std::string content;    // kText: what the quotes hold, escapes resolved

  bool is(std::string_view mark) const { return kind == TokenKind::kMark && text == mark; }
};

// A letter or _, then also digits; ASCII only.
bool is_name(std::string_view text);

// Splits well-formed UTF-8 into tokens, one at a time, so that the first error in the text is the
// one reported. White space and comments (# to the end of the line) only separate.
class Lexer {
 public:
  explicit Lexer(std::shared_ptr<const std::string> text);

  Token next();
  // Whether the next token begins with this character; cheaper than reading it, and never throws.
  bool next_is(char c) const;
  Place place(size_t offset) const { return {owner_, offset}; }

 private:
  size_t skip_space(size_t at) const;
  size_t number_end(size_t at) const;
  size_t digits_end(size_t at) const;
  size_t name_end(size_t at) const;
  size_t mark_end(size_t at) const;
  Token token(TokenKind kind, size_t end);
  Token text_token(size_t begin);
  size_t escape(size_t at, std::string& out) const;
  char at(size_t offset) const { return offset < text_.size() ? text_[offset] : '\0'; }
  [[noreturn]] void bad(size_t offset, std::string_view why) const;

  std::shared_ptr<const std::string> owner_;
  std::string_view text_;
  size_t at_ = 0, last_end_ = 0;
};

}  // namespace pith::form
