// The inner loops of searches among points of the lattice E8: the same results on every instruction
// set.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "e8.h"

namespace pith::form {

inline constexpr size_t kE8Patterns = 256, kE8Neighbours = 240;

// Of all patterns: their magnitudes in columns, half the squared length, and whether an odd number
// of signs must be negative (all bits, or none).
struct E8PatternColumns {
  alignas(64) std::array<std::array<float, kE8Patterns>, kE8> columns;
  alignas(64) std::array<float, kE8Patterns> halves;
  alignas(64) std::array<uint32_t, kE8Patterns> odd;
};

struct E8Pattern {
  float cost;
  uint32_t number;
};

// The pattern of least cost for these magnitudes, whose signs are negative an odd number of times
// or not; the first of equals. Cost: half the squared distance, where one sign, the cheapest, is
// turned if their number is wrong. half_length: of the magnitudes, squared.
E8Pattern nearest_e8_pattern(const E8PatternColumns& patterns, const float* sizes,
                             float half_length, bool odd);

using E8Changes = std::array<float, kE8Neighbours>;
using E8Columns = std::array<E8Changes, kE8>;

// changes[n] = lengths[n] - sum over k of slopes[k] columns[k][n]. Returns how many are below
// -least[n], and writes which, in order.
size_t e8_changes(const E8Columns& columns, const E8Changes& lengths, const E8Changes& least,
                  const float* slopes, E8Changes& changes, uint8_t* below);

// The place of the least; the first of equals.
size_t least_e8_change(const E8Changes& changes);

}  // namespace pith::form
