// The probability table of one segment of a nibble_rans stream: its choice, its bits.
#pragma once

#include <array>
#include <cstdint>

#include "bit_string.h"
#include "pith/entropy/histogram.h"

namespace pith::entropy {

inline constexpr uint32_t kNibbleTotal = 256;  // sum of a table's frequencies
inline constexpr size_t kNibbleEntries = 16;

// Entries 0 … direct - 1 are symbols, by falling frequency and then rising symbol; entry `direct`
// is the escape where there is one. Frequencies are at least 1 and sum to 256; entry i has the
// slots from the sum of the frequencies before it. A table of one symbol and no escape is constant.
struct NibbleTable {
  uint32_t direct = 0;  // 1 to 16; with an escape 1 to 15
  bool escape = false;
  std::array<uint8_t, kNibbleEntries> symbol{};
  std::array<uint16_t, kNibbleEntries> frequency{};

  bool constant() const { return direct == 1 && !escape; }
  uint32_t entries() const { return direct + (escape ? 1 : 0); }
};

// The table with the least estimated cost for these counts (not all zero). `cost`, if not null,
// receives the estimate in units of 2^-16 bits: table, symbols, and escapes at their entropy.
NibbleTable choose_nibble_table(const Histogram& counts, uint64_t* cost);

void write_nibble_table(const NibbleTable& table, BitWriter& out);
NibbleTable read_nibble_table(BitReader& in);

// Whether the encoder can divide by f exactly with one 16-bit multiplication; it uses no other
// frequencies (27 of them, all above 185). Decoders take every frequency.
constexpr unsigned nibble_shift(uint32_t f) {
  unsigned s = 0;
  while ((2u << s) < f) ++s;
  return s;
}
constexpr bool nibble_divisible(uint32_t f) {
  const uint32_t scale = uint32_t{1} << (16 + nibble_shift(f));
  const uint32_t error = scale % f == 0 ? 0 : f - scale % f;
  return uint64_t{error} * (256 * f - 1) < scale;
}

}  // namespace pith::entropy
