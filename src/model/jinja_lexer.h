// The words of a template, white space control done.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/place.h"

namespace pith::model::jinja {

enum class TokenKind : uint8_t {
  kData,        // text between tags
  kBlockBegin,  // {%
  kBlockEnd,
  kPrintBegin,  // {{
  kPrintEnd,
  kName,
  kInteger,
  kReal,
  kText,      // in quotes
  kOperator,  // + == ( …
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  size_t offset = 0;
  std::string text;  // of a string, what the quotes hold

  bool is(std::string_view mark) const { return kind == TokenKind::kOperator && text == mark; }
  bool name(std::string_view word) const { return kind == TokenKind::kName && text == word; }
};

// A source with its places, for messages: "chat template, line 3, column 14: …".
class Source {
 public:
  // Line ends become \n; throws ErrorKind::kLimit above 1 MiB.
  explicit Source(std::string_view text);
  const std::string& text() const { return *text_; }
  Error error(size_t offset, ErrorKind kind, std::string_view message) const;
  [[noreturn]] void bad(size_t offset, std::string_view message) const {
    throw error(offset, ErrorKind::kData, message);
  }

 private:
  std::shared_ptr<const std::string> text_;
};

// All tokens, the last one kEnd. As Jinja with trim_blocks and lstrip_blocks: the line end after a
// block or comment and the white space before it on its line are dropped, one line end at the end
// of the source too; '-' inside a tag drops all white space on its side, '+' keeps it.
std::vector<Token> tokenize(const Source& source);

}  // namespace pith::model::jinja
