// The frequency tables of integer(...) > rans: which class of which kind of state has which.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "integer_grades.h"

namespace pith::form {

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
