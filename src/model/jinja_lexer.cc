#include "jinja_lexer.h"

#include <algorithm>
#include <array>

namespace pith::model::jinja {
namespace {

constexpr size_t kMaxSource = size_t{1} << 20;
constexpr std::string_view kSpace = " \t\n\r\v\f";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

std::string with_plain_line_ends(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

void append_utf8(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

class Lexer {
 public:
  explicit Lexer(const Source& source) : source_(source), text_(source.text()) {
    if (text_.ends_with('\n')) text_.remove_suffix(1);
  }

  std::vector<Token> all() {
    while (at_ < text_.size()) data();
    tokens_.push_back({TokenKind::kEnd, text_.size(), ""});
    return std::move(tokens_);
  }

 private:
  // Text up to the next tag, and the tag.
  void data() {
    const size_t begin = at_;
    const size_t tag = next_tag();
    std::string_view data = text_.substr(begin, tag - begin);
    if (tag < text_.size()) {
      const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
      if (sign == '-') {
        data = data.substr(0, data.find_last_not_of(kSpace) + 1);
      } else if (sign != '+' && text_[tag + 1] != '{') {
        data = without_indent(data, begin);
      }
    }
    if (!data.empty()) tokens_.push_back({TokenKind::kData, begin, std::string(data)});
    at_ = tag;
    if (tag < text_.size()) read_tag();
  }

  size_t next_tag() const {
    for (size_t at = text_.find('{', at_); at != text_.npos; at = text_.find('{', at + 1)) {
      const char next = at + 1 < text_.size() ? text_[at + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') return at;
    }
    return text_.size();
  }

  // White space between the beginning of the line and a block.
  std::string_view without_indent(std::string_view data, size_t begin) const {
    const size_t line = data.rfind('\n');
    if (line == data.npos && begin > 0 && text_[begin - 1] != '\n') return data;
    const size_t from = line == data.npos ? 0 : line + 1;
    const bool blank = data.find_first_not_of(kSpace, from) == data.npos;
    return blank ? data.substr(0, from) : data;
  }

  void read_tag() {
    if (text_[at_ + 1] == '#') return comment();
    const bool print = text_[at_ + 1] == '{';
    const size_t begin = at_;
    at_ += 2;
    if (at_ < text_.size() && (text_[at_] == '-' || (text_[at_] == '+' && !print))) ++at_;
    push(print ? TokenKind::kPrintBegin : TokenKind::kBlockBegin, begin, "");
    while (!tag_end(print)) {
      at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size());
      if (at_ == text_.size()) {
        source_.bad(begin, print ? "`{{` without `}}`" : "`{%` without `%}`");
      }
      if (!tag_begins_end(print)) word();
    }
  }

  bool tag_begins_end(bool print) const {
    const std::string_view rest = text_.substr(at_);
    const std::string_view end = print ? "}}" : "%}";
    return open_.empty() && (rest.starts_with(end) ||
                             (!rest.empty() && (rest[0] == '-' || (rest[0] == '+' && !print)) &&
                              rest.substr(1).starts_with(end)));
  }

  bool tag_end(bool print) {
    if (!tag_begins_end(print)) return false;
    const char sign = text_[at_];
    const bool has_sign = sign == '-' || sign == '+';
    push(print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd, at_, "");
    at_ += has_sign ? 3 : 2;
    after_tag(sign == '-', !print && !has_sign);
    return true;
  }

  void comment() {
    const size_t end = text_.find("#}", at_ + 2);
    if (end == text_.npos) source_.bad(at_, "`{#` without `#}`");
    const char sign = end > at_ + 2 ? text_[end - 1] : '\0';
    at_ = end + 2;
    after_tag(sign == '-', sign != '+');
  }

  void after_tag(bool all_space, bool line_end) {
    if (all_space) at_ = std::min(text_.find_first_not_of(kSpace, at_), text_.size());
    if (line_end && !all_space && at_ < text_.size() && text_[at_] == '\n') ++at_;
  }

  void word() {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return quoted();
    if (is_digit(c)) return number();
    if (is_name_char(c)) {
      size_t end = at_;
      while (end < text_.size() && is_name_char(text_[end])) ++end;
      return take(TokenKind::kName, end);
    }
    constexpr std::array<std::string_view, 6> kDouble = {"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view mark : kDouble) {
      if (text_.substr(at_).starts_with(mark)) return take(TokenKind::kOperator, at_ + 2);
    }
    if (std::string_view("+-*/%~()[]{}<>=.,:|").find(c) == std::string_view::npos) {
      source_.bad(at_, "a character that means nothing here");
    }
    bracket(c);
    take(TokenKind::kOperator, at_ + 1);
  }

  // Inside brackets `}}` and `%}` are no end of the tag.
  void bracket(char c) {
    if (c == '(' || c == '[' || c == '{') open_ += c;
    if (c != ')' && c != ']' && c != '}') return;
    const char opening = c == ')' ? '(' : c == ']' ? '[' : '{';
    if (open_.empty()) source_.bad(at_, fmt::format("`{}` closes nothing", c));
    if (open_.back() != opening) {
      source_.bad(at_, fmt::format("`{}` where `{}` is open", c, open_.back()));
    }
    open_.pop_back();
  }

  void number() {
    size_t end = digits(at_);
    bool real = false;
    if (end + 1 < text_.size() && text_[end] == '.' && is_digit(text_[end + 1])) {
      real = true;
      end = digits(end + 1);
    }
    if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      const size_t sign =
          end + 1 < text_.size() && (text_[end + 1] == '-' || text_[end + 1] == '+');
      if (end + 1 + sign < text_.size() && is_digit(text_[end + 1 + sign])) {
        real = true;
        end = digits(end + 1 + sign);
      }
    }
    take(real ? TokenKind::kReal : TokenKind::kInteger, end);
  }
  size_t digits(size_t at) const {
    while (at < text_.size() && is_digit(text_[at])) ++at;
    return at;
  }

  void quoted() {
    const size_t begin = at_;
    const char quote = text_[at_++];
    std::string content;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        escape(content);
      } else {
        content += text_[at_++];
      }
    }
    if (at_ == text_.size()) source_.bad(begin, "a string without its end");
    ++at_;
    push(TokenKind::kText, begin, std::move(content));
  }

  void escape(std::string& content) {
    constexpr std::string_view kNames = "nrtbfv0\\'\"", kValues("\n\r\t\b\f\v\0\\'\"", 10);
    const char c = text_[at_ + 1];
    const size_t digits_wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits_wanted > 0) return hexadecimal(content, digits_wanted);
    const size_t known = kNames.find(c);
    if (known == kNames.npos) {
      content += '\\';  // as Python: an unknown escape is no escape
      if (c != '\n') content += c;
    } else {
      content += kValues[known];
    }
    at_ += 2;
  }

  void hexadecimal(std::string& content, size_t count) {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const char c = at_ + 2 + i < text_.size() ? text_[at_ + 2 + i] : '\0';
      const char low = static_cast<char>(c | 0x20);
      if (!is_digit(c) && !(low >= 'a' && low <= 'f'))
        source_.bad(at_, "an escape without its digits");
      value = value << 4 | static_cast<uint32_t>(is_digit(c) ? c - '0' : low - 'a' + 10);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      source_.bad(at_, "an escape that is no character");
    }
    append_utf8(content, value);
    at_ += 2 + count;
  }

  void take(TokenKind kind, size_t end) {
    push(kind, at_, std::string(text_.substr(at_, end - at_)));
    at_ = end;
  }
  void push(TokenKind kind, size_t offset, std::string text) {
    tokens_.push_back({kind, offset, std::move(text)});
  }

  const Source& source_;
  std::string_view text_;
  size_t at_ = 0;
  std::string open_;  // brackets
  std::vector<Token> tokens_;
};

}  // namespace

Source::Source(std::string_view text) {
  if (text.size() > kMaxSource) {
    fail(ErrorKind::kLimit, "a chat template of {} bytes; at most {} are read", text.size(),
         kMaxSource);
  }
  text_ = std::make_shared<const std::string>(with_plain_line_ends(text));
}

Error Source::error(size_t offset, ErrorKind kind, std::string_view message) const {
  const form::Place place(text_, std::min(offset, text_->size()));
  return {kind, fmt::format("chat template, line {}, column {}: {}", place.line(), place.column(),
                            message)};
}

std::vector<Token> tokenize(const Source& source) { return Lexer(source).all(); }

}  // namespace pith::model::jinja
