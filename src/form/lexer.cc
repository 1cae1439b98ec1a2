#include "lexer.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "pith/io/text.h"
#include "utf8.h"

namespace pith::form {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return begins_name(c) || is_digit(c); }
bool is_control(char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7F; }

}  // namespace

bool is_name(std::string_view text) {
  return !text.empty() && begins_name(text[0]) && std::ranges::all_of(text, in_name);
}

Lexer::Lexer(std::shared_ptr<const std::string> text) : owner_(std::move(text)), text_(*owner_) {
  const size_t invalid = find_invalid_utf8(text_);
  if (invalid != std::string_view::npos) bad(invalid, "this is not well-formed UTF-8");
}

void Lexer::bad(size_t offset, std::string_view why) const {
  throw place(offset).error(ErrorKind::kUsage, why);
}

Token Lexer::next() {
  const size_t begin = skip_space(at_);
  at_ = begin;
  if (begin == text_.size()) return {TokenKind::kEnd, {}, last_end_, {}};
  const char c = text_[begin];
  if (c == '"') return text_token(begin);
  if (begins_name(c)) return token(TokenKind::kName, name_end(begin));
  if (is_digit(c) || c == '-') return token(TokenKind::kNumber, number_end(begin));
  if (c != '$') return token(TokenKind::kMark, mark_end(begin));
  if (!begins_name(at(begin + 1))) bad(begin, "a name must follow `$`");
  return token(TokenKind::kVariable, name_end(begin + 1));
}

// From where the lexer stands to `end`.
Token Lexer::token(TokenKind kind, size_t end) {
  const size_t begin = std::exchange(at_, end);
  last_end_ = end;
  return {kind, text_.substr(begin, end - begin), begin, {}};
}

bool Lexer::next_is(char c) const { return at(skip_space(at_)) == c; }

size_t Lexer::skip_space(size_t at) const {
  while (at < text_.size()) {
    if (text_[at] == '#') {
      at = std::min(text_.find('\n', at), text_.size());
    } else if (std::string_view(" \t\r\n").find(text_[at]) != std::string_view::npos) {
      ++at;
    } else {
      break;
    }
  }
  return at;
}

size_t Lexer::digits_end(size_t begin) const {
  while (is_digit(at(begin))) ++begin;
  return begin;
}

size_t Lexer::name_end(size_t begin) const {
  while (in_name(at(begin))) ++begin;
  return begin;
}

size_t Lexer::number_end(size_t begin) const {
  size_t end = begin + (text_[begin] == '-');
  if (!is_digit(at(end))) bad(begin, "a digit must follow `-`; there is no subtraction");
  end = digits_end(end);
  // Two points are a range: 0..4.
  if (at(end) == '.' && is_digit(at(end + 1))) end = digits_end(end + 1);
  if (at(end) == 'e' || at(end) == 'E') {
    const size_t sign = at(end + 1) == '-' || at(end + 1) == '+';
    if (is_digit(at(end + 1 + sign))) end = digits_end(end + 1 + sign);
  }
  if (begins_name(at(end))) bad(end, "a letter cannot follow a number");
  return end;
}

size_t Lexer::mark_end(size_t begin) const {
  const char c = text_[begin];
  if (std::string_view("+*|>(),=%:").find(c) != std::string_view::npos) return begin + 1;
  if (c == '.' && at(begin + 1) == '.') return begin + 2;
  if (c == '.') bad(begin, "decimals have digits on both sides of the point, as 0.5");
  if (is_control(c)) bad(begin, fmt::format("unexpected control character {:#04x}", c));
  bad(begin, fmt::format("unexpected `{}`", text_.substr(begin, io::utf8_sequence(text_, begin))));
}

Token Lexer::text_token(size_t begin) {
  std::string content;
  size_t end = begin + 1;
  for (; at(end) != '"'; ++end) {
    if (end >= text_.size() || text_[end] == '\n') bad(begin, "the closing `\"` is missing");
    if (is_control(text_[end])) bad(end, "control characters in text are written as \\u00XX");
    if (text_[end] == '\\') {
      end = escape(end, content);
    } else {
      content += text_[end];
    }
  }
  Token text = token(TokenKind::kText, end + 1);
  text.content = std::move(content);
  return text;
}

// Returns the offset of the last character of the escape at `begin`.
size_t Lexer::escape(size_t begin, std::string& out) const {
  constexpr std::string_view kEscapes = "\"\\ntr", kMeant = "\"\\\n\t\r";
  const size_t known = kEscapes.find(at(begin + 1));
  if (begin + 1 < text_.size() && known != std::string_view::npos) {
    out += kMeant[known];
    return begin + 1;
  }
  if (at(begin + 1) != 'u') bad(begin, "escapes are \\\" \\\\ \\n \\t \\r and \\u00XX");
  const std::string_view digits = text_.substr(begin + 2, 4);
  uint32_t code = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (digits.size() < 4 || end != digits.data() + 4 || error != std::errc() || surrogate) {
    bad(begin, "four hexadecimal digits must follow \\u, and no half of a surrogate pair");
  }
  append_utf8(code, out);
  return begin + 5;
}

}  // namespace pith::form
