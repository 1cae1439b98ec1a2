// The frequency tables of integer(...) > rans: which class of which kind of state has which.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

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
// Of each class, in even and in odd states.
struct IntegerHistogram {
  std::array<std::array<IntegerCounts, kIntegerClasses>, 2> counts{};
};

struct IntegerTables {
  std::vector<IntegerFrequencies> tables;
  // The table of a class in even and in odd states.
  std::array<std::array<uint8_t, kIntegerClasses>, 2> of{};

  const IntegerFrequencies& table(int odd, int integer_class) const {
    return tables[of[static_cast<size_t>(odd)][static_cast<size_t>(integer_class)]];
  }
};

// The tables of fewest bits, themselves counted.
struct IntegerPlan {
  struct Group {
    int last = 0;        // class; the first is the one after the group before
    bool split = false;  // even and odd states have tables of their own
  };
  int first = 0;
  std::vector<Group> groups;
};
IntegerPlan plan_tables(const IntegerHistogram& histogram);

void write_tables(const IntegerHistogram& histogram, const IntegerPlan& plan,
                  SideCoder<entropy::BinaryEncoder>& to, IntegerTables& tables);
// At least one table; any bits are some tables.
IntegerTables read_tables(SideCoder<entropy::BinaryDecoder>& from);

}  // namespace pith::form
