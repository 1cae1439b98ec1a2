#include "nfc.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "unicode.h"
#include "unicode_tables.h"

namespace pith::model {
namespace {

// Hangul syllables are composed by arithmetic (Unicode, section 3.12).
constexpr char32_t kSyllables = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTrail = 0x11A7;
constexpr char32_t kLeads = 19, kVowels = 21, kTrails = 28;
constexpr char32_t kSyllableCount = kLeads * kVowels * kTrails;
constexpr char32_t kFirstCombining = 0x300;  // below, every character is NFC and a starter

bool within(char32_t code, char32_t first, char32_t count) {
  return code >= first && code - first < count;
}

uint8_t combining_class(char32_t code) {
  if (code < kFirstCombining || code >= kRawByte) return 0;
  const std::span table(kCombiningClasses, kCombiningClassesSize);
  const uint32_t key = static_cast<uint32_t>(code) << 8 | 0xFF;
  return static_cast<uint8_t>(*(std::ranges::upper_bound(table, key) - 1));
}

const Decomposition* decomposition(char32_t code) {
  const std::span table(kDecompositions, kDecompositionsSize);
  const auto at = std::ranges::lower_bound(table, code, {}, &Decomposition::code);
  return at != table.end() && at->code == code ? &*at : nullptr;
}

// Pairs that compose, by their parts.
struct Composition {
  uint64_t parts;
  char32_t code;
};

std::vector<Composition> make_compositions() {
  std::vector<Composition> table;
  for (const Decomposition& entry : std::span(kDecompositions, kDecompositionsSize)) {
    if (!entry.composes) continue;
    table.push_back({uint64_t{entry.first} << 32 | entry.second, entry.code});
  }
  std::ranges::sort(table, {}, &Composition::parts);
  return table;
}

// The character that two make, 0 if none.
char32_t composed(char32_t first, char32_t second) {
  if (within(first, kLead, kLeads) && within(second, kVowel, kVowels)) {
    return kSyllables + ((first - kLead) * kVowels + (second - kVowel)) * kTrails;
  }
  if (within(first, kSyllables, kSyllableCount) && (first - kSyllables) % kTrails == 0 &&
      within(second, kTrail + 1, kTrails - 1)) {
    return first + (second - kTrail);
  }
  static const std::vector table = make_compositions();
  const uint64_t parts = uint64_t{first} << 32 | second;
  const auto at = std::ranges::lower_bound(table, parts, {}, &Composition::parts);
  return at != table.end() && at->parts == parts ? at->code : 0;
}

void decompose(char32_t code, std::u32string& out) {
  if (within(code, kSyllables, kSyllableCount)) {
    const char32_t index = code - kSyllables;
    out += kLead + index / (kVowels * kTrails);
    out += kVowel + index / kTrails % kVowels;
    if (index % kTrails) out += kTrail + index % kTrails;
    return;
  }
  const Decomposition* parts = code < 0xC0 ? nullptr : decomposition(code);
  if (!parts) {
    out += code;
    return;
  }
  decompose(parts->first, out);
  if (parts->second) decompose(parts->second, out);
}

// Marks after a starter in the order of their classes.
void reorder(std::u32string& text) {
  for (auto at = text.begin(); at != text.end();) {
    if (combining_class(*at) == 0) {
      ++at;
      continue;
    }
    const auto end = std::find_if(at, text.end(), [](char32_t c) { return !combining_class(c); });
    std::ranges::stable_sort(at, end, {}, combining_class);
    at = end;
  }
}

void compose(std::u32string& text) {
  size_t out = 0, starter = SIZE_MAX;
  uint8_t last_class = 0;  // of the mark before, between it and the starter
  for (const char32_t code : text) {
    const uint8_t mark = combining_class(code);
    const bool adjacent = starter != SIZE_MAX && starter + 1 == out;
    if (starter != SIZE_MAX && (adjacent || last_class < mark)) {
      if (const char32_t whole = composed(text[starter], code)) {
        text[starter] = whole;
        continue;
      }
    }
    if (mark == 0) starter = out;
    last_class = mark;
    text[out++] = code;
  }
  text.resize(out);
}

}  // namespace

std::string nfc(std::string_view text) {
  if (std::ranges::all_of(text, [](char c) { return static_cast<uint8_t>(c) < 0xCC; })) {
    return std::string(text);  // nothing at or above U+0300
  }
  std::u32string codes;
  for (size_t at = 0; at < text.size();) {
    const Character next = character_at(text, at);
    decompose(next.code, codes);
    at += next.size;
  }
  reorder(codes);
  compose(codes);
  std::string out;
  out.reserve(text.size());
  for (const char32_t code : codes) append_character(out, code);
  return out;
}

}  // namespace pith::model
