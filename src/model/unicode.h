// Characters of a text and the three classes that the rules of tokenizers speak of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pith::model {

enum class TextClass : uint8_t { kOther, kLetter, kNumber, kSpace };  // none, \p{L}, \p{N}, \s

TextClass text_class(char32_t code);

// A byte that is not part of well-formed UTF-8 is a character of its own, above all code points, so
// that no byte of a text is lost.
constexpr char32_t kRawByte = 0x110000;

struct Character {
  char32_t code = 0;  // kRawByte + the byte where the text is not UTF-8
  uint32_t size = 0;  // bytes; 0 at the end of the text
};

Character character_at(std::string_view text, size_t at);

void append_character(std::string& out, char32_t code);  // also kRawByte + byte

}  // namespace pith::model
