// The probability table of one segment of a byte_rans stream: its choice, its bits.
#pragma once

#include <array>
#include <cstdint>

#include "bit_string.h"
#include "pith/entropy/histogram.h"

namespace pith::entropy {

inline constexpr unsigned kByteTotalLog = 12;
inline constexpr uint32_t kByteTotal = 1u << kByteTotalLog;  // sum of a table's frequencies

// What the stream holds of a table. Symbols that occur have a grade g >= 0, which stands for the
// weight 0 (g = 0) or (2^precision + m) << e with m = (g - 1) mod 2^precision and
// e = (g - 1) / 2^precision.
struct ByteGrades {
  unsigned precision = 1;  // 1 to 4
  uint32_t used = 0;       // symbols that occur, 1 to 256
  std::array<uint8_t, 256> symbol{};
  std::array<uint8_t, 256> grade{};  // of symbol[i], at most max_grade(precision)
};

inline constexpr unsigned kMaxExponent = 12;
constexpr uint32_t max_grade(unsigned precision) { return (kMaxExponent + 1) << precision; }

// By symbol; 0 where it does not occur. Used symbols in rising order share the 4096 slots: one
// each, the others in proportion to the weights, by the rounded-down running sum.
struct ByteTable {
  std::array<uint16_t, 256> frequency{};
  uint32_t used = 0;
  uint8_t first = 0;  // the least symbol that occurs
  bool constant() const { return used == 1; }
};

ByteGrades choose_byte_grades(const Histogram& counts);  // not all zero
ByteTable byte_table(const ByteGrades& grades);

void write_byte_grades(const ByteGrades& grades, BitWriter& out);
ByteGrades read_byte_grades(BitReader& in);

}  // namespace pith::entropy
