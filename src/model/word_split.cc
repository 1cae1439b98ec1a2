#include "word_split.h"

#include <algorithm>
#include <array>
#include <utility>

#include "unicode.h"

namespace pith::model {
namespace {

// In the words of the original patterns.
constexpr std::array<std::pair<std::string_view, WordRule>, 6> kPatterns = {{
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     WordRule::kGpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", WordRule::kGpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     WordRule::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     WordRule::kLlama3},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
     WordRule::kLlama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     WordRule::kQwen2},
}};

// "default" and no name at all come from converters older than the key: GPT-2's rule is the
// nearest.
constexpr std::array<std::pair<std::string_view, WordRule>, 13> kGgufNames = {{
    {"", WordRule::kGpt2},
    {"default", WordRule::kGpt2},
    {"gpt-2", WordRule::kGpt2},
    {"gpt2", WordRule::kGpt2},
    {"llama-bpe", WordRule::kLlama3},
    {"llama-v3", WordRule::kLlama3},
    {"llama3", WordRule::kLlama3},
    {"smaug-bpe", WordRule::kLlama3},
    {"qwen2", WordRule::kQwen2},
    {"deepseek-r1-qwen", WordRule::kQwen2},
    {"starcoder", WordRule::kGpt2Digits},
    {"refact", WordRule::kGpt2Digits},
    {"smollm", WordRule::kGpt2Digits},
}};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  struct Char : Character {
    TextClass kind = TextClass::kOther;
    bool is(TextClass k) const { return size > 0 && kind == k; }
    bool newline() const { return code == '\r' || code == '\n'; }
  };
  Char at(size_t k) const {
    const Character next = character_at(text_, k);
    return {next, next.size ? text_class(next.code) : TextClass::kOther};
  }

  // The end of the characters of a class from `from` on, at most `most` of them.
  size_t run(TextClass kind, size_t from, size_t most = SIZE_MAX) const {
    for (Char c = at(from); most > 0 && c.is(kind); c = at(from), --most) from += c.size;
    return from;
  }
  size_t newlines(size_t from) const {
    while (from < text_.size() && (text_[from] == '\r' || text_[from] == '\n')) ++from;
    return from;
  }

  // The end of 's, 't, 're, … at `from`, where an apostrophe stands; `from` itself if none does.
  size_t contraction(size_t from, bool any_case) const {
    const auto lower = [&](const Char& c) -> char32_t {
      if (!any_case) return c.code;
      if (c.code == 0x17F) return 's';  // the long s is an s to a pattern that ignores case
      return c.code >= 'A' && c.code <= 'Z' ? c.code + 32 : c.code;
    };
    const Char one = at(from + 1);
    const char32_t a = lower(one);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return from + 1 + one.size;
    const char32_t b = lower(at(from + 1 + one.size));
    const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return two ? from + 3 : from;
  }

  // Whitespace up to the last of it before a word, which takes that one along; one at least.
  size_t spaces(size_t from, size_t end) const {
    if (end == text_.size()) return end;
    size_t last = from;
    for (size_t k = from; k < end; k += at(k).size) last = k;
    return last == from ? end : last;
  }

 private:
  std::string_view text_;
};

size_t gpt2_end(std::string_view text, size_t from) {
  const Scanner scan(text);
  if (text[from] == '\'') {
    if (const size_t end = scan.contraction(from, false); end > from) return end;
  }
  const size_t start = from + (text[from] == ' ' ? 1 : 0);
  const auto first = scan.at(start);
  if (first.size > 0 && first.kind != TextClass::kSpace) return scan.run(first.kind, start);
  return scan.spaces(from, scan.run(TextClass::kSpace, from));
}

size_t gpt2_digits_end(std::string_view text, size_t from) {
  const Scanner scan(text);
  const auto first = scan.at(from);
  if (first.kind == TextClass::kNumber) return from + first.size;
  // Only as far as this word can reach: a word, one class of characters after one space at most,
  // or whitespace, and each of them ends before a digit.
  const size_t spaces = scan.run(TextClass::kSpace, from);
  if (spaces > from && scan.at(spaces).is(TextClass::kNumber)) {
    return gpt2_end(text.substr(0, spaces), from);
  }
  return gpt2_end(text, from);
}

size_t llama3_end(std::string_view text, size_t from, size_t digits) {
  const Scanner scan(text);
  const auto first = scan.at(from);
  if (first.code == '\'') {
    if (const size_t end = scan.contraction(from, true); end > from) return end;
  }
  if (first.kind == TextClass::kLetter) return scan.run(TextClass::kLetter, from);
  if (first.kind == TextClass::kNumber) return scan.run(TextClass::kNumber, from, digits);
  if (!first.newline() && scan.at(from + first.size).is(TextClass::kLetter)) {
    return scan.run(TextClass::kLetter, from + first.size);
  }
  const size_t mark = from + (first.code == ' ' ? 1 : 0);
  if (scan.at(mark).is(TextClass::kOther)) return scan.newlines(scan.run(TextClass::kOther, mark));
  const size_t end = scan.run(TextClass::kSpace, from);
  const size_t line = text.substr(from, end - from).find_last_of("\r\n");
  return line != std::string_view::npos ? from + line + 1 : scan.spaces(from, end);
}

template <size_t n>
std::optional<WordRule> look_up(const std::array<std::pair<std::string_view, WordRule>, n>& table,
                                std::string_view name) {
  const auto at = std::ranges::find(table, name, &std::pair<std::string_view, WordRule>::first);
  return at != table.end() ? std::optional(at->second) : std::nullopt;
}

}  // namespace

std::optional<WordRule> word_rule_of_pattern(std::string_view pattern) {
  return look_up(kPatterns, pattern);
}

std::optional<WordRule> word_rule_of_gguf(std::string_view name) {
  return look_up(kGgufNames, name);
}

std::string_view gguf_name_of(WordRule rule) {
  switch (rule) {
    case WordRule::kGpt2:
      return "gpt-2";
    case WordRule::kGpt2Digits:
      return "smollm";
    case WordRule::kLlama3:
      return "llama-bpe";
    case WordRule::kQwen2:
      return "qwen2";
    case WordRule::kNone:
      break;
  }
  return {};
}

size_t word_end(WordRule rule, std::string_view text, size_t at) {
  switch (rule) {
    case WordRule::kGpt2:
      return gpt2_end(text, at);
    case WordRule::kGpt2Digits:
      return gpt2_digits_end(text, at);
    case WordRule::kLlama3:
      return llama3_end(text, at, 3);
    case WordRule::kQwen2:
      return llama3_end(text, at, 1);
    case WordRule::kNone:
      break;
  }
  return text.size();
}

}  // namespace pith::model
