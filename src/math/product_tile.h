// The inner loop of matrix products: one tile of sums that stay in registers.
#pragma once

#include <cstddef>

#include "pith/math/matrix_product.h"

namespace pith::math {

inline constexpr size_t kTileRows = 12;
// Two vectors of the widest there are.
template <class T>
inline constexpr size_t kTileCols = 128 / sizeof(T);

// c[i * stride + j] =, += or -= the sum over t < steps of a[t * kTileRows + i] * b[t * kTileCols<T>
// + j], in this order, from 0 on.
void product_tile(const float* a, const float* b, size_t steps, float* c, size_t stride,
                  ProductInto into);
void product_tile(const double* a, const double* b, size_t steps, double* c, size_t stride,
                  ProductInto into);

}  // namespace pith::math
