// The codes of a column: those nearest to what is wanted, bits weighed against distance.
#pragma once

#include "integer_costs.h"

namespace pith::form {

struct IntegerTargets {
  uint64_t rows = 0;
  alignas(64) std::array<float, kIntegerRows> wanted{};  // in steps
  alignas(64) std::array<int32_t, kIntegerRows> classes{};
};

// Squared error over squared step at high rates.
double integer_distortion(int states);

// Least sum of (wanted - level)^2 + lambda * bits. Of wanted values, those that are no number count
// as zeros.
void search_integers(const IntegerTrellis& trellis, const IntegerCosts& costs,
                     const IntegerTargets& targets, float lambda, int16_t* codes);

}  // namespace pith::form
