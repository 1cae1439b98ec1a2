// One frequency table of integer(...) > rans in few bits: rounded shares, told from those of the
// table before it.
#pragma once

#include <array>
#include <cstdint>

#include "integer_levels.h"
#include "side_coder.h"

namespace pith::form {

inline constexpr int kIntegerTotalLog = 12;
inline constexpr uint32_t kIntegerTotal = 1u << kIntegerTotalLog;  // the sum of a table

// What is coded of a code: its bits above the low ones, or that it is none of these; then the code
// itself follows in 16 bits.
inline constexpr int kIntegerEscape = -128;
inline constexpr int kMostSymbol = 127;
inline constexpr int kEscapeBits = 16;
constexpr int integer_symbol(int code, int low_bits) {
  const int s = code >> low_bits;
  return s < -kMostSymbol || s > kMostSymbol ? kIntegerEscape : s;
}
constexpr size_t symbol_place(int symbol) { return static_cast<size_t>(symbol + 128); }

// By place of the symbol.
using IntegerFrequencies = std::array<uint16_t, 256>;
using IntegerCounts = std::array<uint64_t, 256>;

// A grade stands for a share of the slots: 0 for none (the symbol does not occur), 1 for a single
// slot, g >= 2 for a slot and (2^precision + m) << e parts of what is left when every symbol has
// its slot, with m = (g - 2) mod 2^precision and e = (g - 2) / 2^precision.
struct IntegerGrades {
  static constexpr int kMostPrecision = 5;
  int precision = 0;
  int below = 0, above = 0;  // symbols -below to above may occur
  std::array<int, 256> grade{};
};

// Symbols in rising order have a slot each, and the rest goes by weight. Without any grade there
// are zeros only.
IntegerFrequencies frequencies_of(const IntegerGrades& grades);

// The classes that a table is of, and in which states.
struct IntegerTableSort {
  int first_class = 0, last_class = 0;
  bool odd = false;
};

// What is known of a table before it is read, from the one before it: the same shape at another
// width. In units of 2^-kShareBits slots.
struct IntegerForecast {
  static constexpr int kShareBits = 8;
  bool known = false;
  std::array<int64_t, 256> share{};
};
IntegerForecast forecast_table(const IntegerTableSort& before, const IntegerFrequencies& table,
                               const IntegerTableSort& sort);

// How far grades are from what was expected of them, as seen so far.
struct IntegerGradeModels {
  using OfPrecision = std::array<IntegerModel, IntegerGrades::kMostPrecision + 1>;
  struct Sort {
    IntegerModel range, asymmetry, zero;
    OfPrecision outwards, mirrored;
  };
  std::array<Sort, 2> sorts;  // without and with a forecast
  IntegerModel escape;
};

IntegerGrades read_grades(SideCoder<entropy::BinaryDecoder>& from, const IntegerForecast& forecast,
                          IntegerGradeModels& models);
// Those with which the symbols and the table have the fewest bits.
IntegerGrades write_grades(const IntegerCounts& counts, const IntegerForecast& forecast,
                           IntegerGradeModels& models, SideCoder<entropy::BinaryEncoder>& to);

}  // namespace pith::form
