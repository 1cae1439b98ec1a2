// The inner loop of matrix products: one tile of sums that stay in registers.
#pragma once

#include <cstddef>

namespace pith::math {

inline constexpr size_t kTileRows = 12, kTileCols = 32;

// c[i * stride + j] = or += the sum over t < steps of a[t * kTileRows + i] * b[t * kTileCols + j],
// in this order, from 0 on.
void product_tile(const float* a, const float* b, size_t steps, float* c, size_t stride, bool add);

}  // namespace pith::math
