#include "added_tokens.h"

#include "unicode.h"

namespace pith::model {
namespace {

bool in_word(std::string_view text, size_t at) {
  const Character c = character_at(text, at);
  if (c.size == 0) return false;
  const TextClass kind = text_class(c.code);
  return kind == TextClass::kLetter || kind == TextClass::kNumber || c.code == '_';
}

// The beginning of the character that ends at `end`.
size_t character_before(std::string_view text, size_t end) {
  for (size_t size = 2; size <= 4 && size <= end; ++size) {
    if (character_at(text, end - size).size == size) return end - size;
  }
  return end - 1;
}

bool space_at(std::string_view text, size_t at) {
  return text_class(character_at(text, at).code) == TextClass::kSpace;
}

}  // namespace

void AddedTokens::add(AddedToken token) {
  const auto same = trie_.longest(token.content, 0);
  if (same.length == token.content.size()) {
    tokens_[static_cast<size_t>(same.id)] = std::move(token);
    return;
  }
  trie_.add(token.content, static_cast<int32_t>(tokens_.size()));
  tokens_.push_back(std::move(token));
}

const AddedToken* AddedTokens::longest(std::string_view text, size_t at, bool with_special) const {
  const AddedToken* best = nullptr;
  trie_.each_prefix(text, at, [&](size_t length, int32_t index) {
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    if (token.special && !with_special) return;
    if (token.single_word) {
      const bool glued =
          (at > 0 && in_word(text, character_before(text, at))) || in_word(text, at + length);
      if (glued) return;
    }
    best = &token;
  });
  return best;
}

AddedTokens::Found AddedTokens::next(std::string_view text, size_t from, bool with_special) const {
  if (trie_.empty()) return {};
  for (size_t at = from; at < text.size(); ++at) {
    const AddedToken* token = longest(text, at, with_special);
    if (!token) continue;
    size_t begin = at, end = at + token->content.size();
    while (token->strip_left && begin > from && space_at(text, character_before(text, begin))) {
      begin = character_before(text, begin);
    }
    while (token->strip_right && end < text.size() && space_at(text, end)) {
      end += character_at(text, end).size;
    }
    return {begin, end, token->id};
  }
  return {};
}

}  // namespace pith::model
