#include "byte_alphabet.h"

#include <array>

#include "unicode.h"

namespace pith::model {
namespace {

bool printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Bytes that cannot be printed take the code points from U+0100 on, in order.
std::array<char32_t, 256> make_letters() {
  std::array<char32_t, 256> letters;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    letters[static_cast<size_t>(byte)] = printable(byte) ? static_cast<char32_t>(byte) : next++;
  }
  return letters;
}

const std::array<char32_t, 256>& letters() {
  static const std::array table = make_letters();
  return table;
}

constexpr char32_t kLetters = 0x144;  // above all of them

std::array<int, kLetters> make_bytes() {
  std::array<int, kLetters> bytes;
  bytes.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) bytes[letters()[byte]] = static_cast<int>(byte);
  return bytes;
}

}  // namespace

std::string byte_letter(uint8_t byte) {
  std::string out;
  append_character(out, letters()[byte]);
  return out;
}

std::string bytes_of_letters(std::string_view piece) {
  static const std::array table = make_bytes();
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const Character letter = character_at(piece, at);
    const int byte = letter.code < kLetters ? table[letter.code] : -1;
    if (byte < 0) return std::string(piece);
    out += static_cast<char>(byte);
    at += letter.size;
  }
  return out;
}

}  // namespace pith::model
