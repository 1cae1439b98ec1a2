// Matrices whose elements are small integers times a scale for each row, as products of integers
// want them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

struct IntegerRows {
  Shape shape;
  int bits = 8;                // of the codes, 2 to 8
  std::vector<int16_t> codes;  // row-major; -2^(bits-1) to 2^(bits-1)
  std::vector<float> scales;   // of each row, not negative
};

// decode() of the form is codes times scales, exactly. Where it stores a negative scale, so that
// the one level more that there is below zero is above it, codes are turned instead. No value for
// other forms than `uniform` with one scale for each row (group=row, or as long as the rows),
// without zero points, and with levels that are integers of 8 bits.
std::optional<IntegerRows> integer_rows(const Form& form);

}  // namespace pith::form
