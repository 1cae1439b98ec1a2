// The codes of a column: those nearest to what is wanted, bits weighed against distance.
#pragma once

#include <span>

#include "integer_costs.h"

namespace pith::form {

struct IntegerTarget {
  float wanted;  // in steps
  int integer_class;
};

// Squared error over squared step at high rates.
double integer_distortion(int states);

// Least sum of (wanted - level)^2 + lambda * bits over the targets, at most kIntegerRows.
void search_integers(const IntegerTrellis& trellis, const IntegerCosts& costs,
                     std::span<const IntegerTarget> targets, float lambda, int16_t* codes);

}  // namespace pith::form
