// Sums of outer products in tiles: the inner loop of second moments and of error feedback.
#pragma once

#include <cstddef>

namespace pith::fit {

inline constexpr size_t kTile = 64;
// Steps that are summed in float32 at a time. Sums of so few lose about as much as one product of
// float32 does; whoever needs more of them adds the tiles up in float64.
inline constexpr size_t kMostSteps = 128;

// sums[i * kTile + j] = a[t * kTile + i] * b[t * kTile + j], added up over t < steps in this order:
// the same on every instruction set.
void tile_product(const float* a, const float* b, size_t steps, float* sums);

// to[j] += factors[t * stride] * b[t * kTile + j], for j < kTile and t < steps in this order.
void add_multiples(const float* factors, size_t stride, const float* b, size_t steps, float* to);

}  // namespace pith::fit
