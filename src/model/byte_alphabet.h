// The alphabet in which byte-level vocabularies write their pieces (after GPT-2): each byte is one
// printable character, a space being "Ġ".
#pragma once

#include <string>
#include <string_view>

namespace pith::model {

// The character of a byte, in UTF-8.
std::string byte_letter(uint8_t byte);

// The bytes that a piece stands for; a piece with a character outside the alphabet stands for
// itself.
std::string bytes_of_letters(std::string_view piece);

}  // namespace pith::model
