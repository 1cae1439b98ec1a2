// Sums of multiples of rows in float64: the inner loop of eliminations.
#pragma once

#include <cstddef>

namespace pith::fit {

// to[j] -= factors[t] * rows[t * n + j], for j < n and t < count in this order: the same on every
// instruction set.
void subtract_multiples(const double* rows, const double* factors, size_t count, size_t n,
                        double* to);

}  // namespace pith::fit
