// Tokens in groups, for audits that look at each: by what they are in a text, and by how often the
// text that calibration read has them.
//
//   const std::array groupings = {groups_by_class(tokenizer), groups_by_frequency(ids,
//   vocabulary)}; Harm harm = find_harm(tokens, groupings);
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/model/tokenizer.h"

namespace pith::audit {

// By the first of these that holds: bytes that are no text, only whitespace, a letter somewhere, a
// digit somewhere, anything else.
enum class TokenClass : uint8_t {
  kWordBegin,    // with letters, and whitespace in front: " the"
  kWordInside,   // with letters, and none: "ing"
  kNumber,       // " 19"
  kPunctuation,  // ",", " —"
  kWhitespace,   // "\n", "  "
  kOther,        // control tokens, parts of characters
};
inline constexpr std::array kTokenClasses = {TokenClass::kWordBegin,  TokenClass::kWordInside,
                                             TokenClass::kNumber,     TokenClass::kPunctuation,
                                             TokenClass::kWhitespace, TokenClass::kOther};
std::string_view name(TokenClass c);

// Of the bytes that a token stands for inside a text. Beyond ASCII every character is a letter but
// general punctuation (U+2000 … U+206F).
TokenClass token_class(std::string_view text);

struct Grouping {
  std::string name;                      // "class"
  std::vector<std::string> groups;       // their names
  std::function<size_t(int32_t)> group;  // of a token
};

Grouping groups_by_class(const model::Tokenizer& tokenizer);

// "frequent": of the text's different tokens, most frequent first, as few as make half of the text;
// "middle": those that make the next two fifths; "rare": all others, and those that it does not
// have. Of equally frequent ones the smaller id comes first. Ids outside the vocabulary are not
// counted.
Grouping groups_by_frequency(std::span<const int32_t> text, uint64_t vocabulary);

}  // namespace pith::audit
