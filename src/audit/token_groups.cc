#include "pith/audit/token_groups.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "pith/io/text.h"

namespace pith::audit {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// U+2000 … U+206F: quotes, dashes, the ellipsis.
bool is_general_punctuation(std::string_view character) {
  return character.size() == 3 && character[0] == '\xE2' &&
         (character[1] == '\x80' || (character[1] == '\x81' && character[2] <= '\xAF'));
}

}  // namespace

std::string_view name(TokenClass c) {
  switch (c) {
    case TokenClass::kWordBegin:
      return "word begin";
    case TokenClass::kWordInside:
      return "word inside";
    case TokenClass::kNumber:
      return "number";
    case TokenClass::kPunctuation:
      return "punctuation";
    case TokenClass::kWhitespace:
      return "whitespace";
    case TokenClass::kOther:
      break;
  }
  return "other";
}

TokenClass token_class(std::string_view text) {
  bool letters = false, digits = false, others = false;
  for (size_t at = 0; at < text.size();) {
    const size_t size = io::utf8_sequence(text, at);
    if (size == 0) return TokenClass::kOther;
    const std::string_view character = text.substr(at, size);
    at += size;
    if (size > 1) {
      (is_general_punctuation(character) ? others : letters) = true;
    } else if (is_letter(character[0])) {
      letters = true;
    } else if (is_digit(character[0])) {
      digits = true;
    } else if (!is_space(character[0])) {
      others = true;
    }
  }
  if (letters) return is_space(text[0]) ? TokenClass::kWordBegin : TokenClass::kWordInside;
  if (digits) return TokenClass::kNumber;
  if (others) return TokenClass::kPunctuation;
  return text.empty() ? TokenClass::kOther : TokenClass::kWhitespace;
}

Grouping groups_by_class(const model::Tokenizer& tokenizer) {
  Grouping out{"class", {}, {}};
  for (const TokenClass c : kTokenClasses) out.groups.emplace_back(name(c));
  out.group = [tokenizer](int32_t id) {
    const bool text =
        id >= 0 && id < tokenizer.size() && tokenizer.kind(id) != model::PieceKind::kControl;
    return static_cast<size_t>(text ? token_class(tokenizer.text(id)) : TokenClass::kOther);
  };
  return out;
}

Grouping groups_by_frequency(std::span<const int32_t> text, uint64_t vocabulary) {
  std::vector<uint64_t> counts(vocabulary);
  uint64_t all = 0;
  for (const int32_t id : text) {
    if (id < 0 || static_cast<uint64_t>(id) >= vocabulary) continue;
    ++counts[static_cast<size_t>(id)];
    ++all;
  }
  std::vector<size_t> order(vocabulary);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](size_t id) { return counts[id]; });
  // A token belongs where the text's share before it lies.
  enum : size_t { kFrequent, kMiddle, kRare };
  auto group = std::make_shared<std::vector<size_t>>(vocabulary, kRare);
  uint64_t before = 0;
  for (const size_t id : order) {
    if (counts[id] == 0 || 10 * before >= 9 * all) break;
    (*group)[id] = 2 * before < all ? kFrequent : kMiddle;
    before += counts[id];
  }
  return {"frequency", {"frequent", "middle", "rare"}, [group](int32_t id) {
            return id >= 0 && static_cast<size_t>(id) < group->size()
                       ? (*group)[static_cast<size_t>(id)]
                       : size_t{kRare};
          }};
}

}  // namespace pith::audit
