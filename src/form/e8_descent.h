// Points of the lattice E8 under a metric: from one point to the best of its 240 neighbours as long
// as one is nearer, with a few detours, within the points that 16-bit codes have (e8.h).
#pragma once

#include <array>
#include <span>

#include "e8_search.h"

namespace pith::form {

class E8Descent {
 public:
  // metric: 8 x 8, row-major, symmetric, with elements of about 1.
  explicit E8Descent(std::span<const double> metric);

  // From a code to one at least as near to x, in quarters of the spacing.
  uint16_t operator()(const float* x, uint16_t code) const;

 private:
  // What the squared distance to x grows by from the point to each neighbour. Returns how many are
  // nearer, and which.
  size_t changes(const float* x, const E8Vector& point, E8Changes& change, uint8_t* nearer) const;
  // By how much it falls; change: of the neighbours of where it ends.
  float descend(const float* x, uint16_t& code, E8Changes& change) const;

  std::array<float, kE8 * kE8> metric_;
  // Of each neighbour's difference, squared; and what a step to there must gain.
  alignas(64) E8Changes lengths_, least_gains_;
};

}  // namespace pith::form
