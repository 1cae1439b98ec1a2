#include "unicode.h"

#include <algorithm>
#include <array>
#include <span>

#include "pith/io/text.h"
#include "unicode_tables.h"

namespace pith::model {
namespace {

TextClass looked_up(char32_t code) {
  const std::span table(kTextClasses, kTextClassesSize);
  const uint32_t key = static_cast<uint32_t>(code) << 2 | 3;
  return static_cast<TextClass>(*(std::ranges::upper_bound(table, key) - 1) & 3);
}

constexpr char32_t kQuick = 0x3000;  // most scripts but CJK

std::array<TextClass, kQuick> quick_table() {
  std::array<TextClass, kQuick> table;
  for (char32_t code = 0; code < kQuick; ++code) table[code] = looked_up(code);
  return table;
}

}  // namespace

TextClass text_class(char32_t code) {
  static const std::array quick = quick_table();
  if (code < kQuick) return quick[code];
  return code < kRawByte ? looked_up(code) : TextClass::kOther;
}

Character character_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[at + k]); };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const auto tail = [&](size_t k) { return static_cast<char32_t>(byte(k) & 0x3F); };
  switch (io::utf8_sequence(text, at)) {
    case 2:
      return {(lead & 0x1F) << 6 | tail(1), 2};
    case 3:
      return {(lead & 0xF) << 12 | tail(1) << 6 | tail(2), 3};
    case 4:
      return {(lead & 7) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4};
    default:
      return {kRawByte + lead, 1};
  }
}

void append_character(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (code >= kRawByte) return put(code - kRawByte);
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

}  // namespace pith::model
