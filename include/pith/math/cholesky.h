// Cholesky's factor of large symmetric matrices, and what it solves, in float64.
//
//   if (!cholesky(a, n, threads)) …            // a is not positive definite
//   divide_by_lower(a, n, x, rows, threads);   // x = x l⁻¹
//
// Blocks of the matrix, with products (matrix_product.h) for all that is outside of them. Results
// are the same on every number of threads and instruction set.
#pragma once

#include <cstdint>

namespace pith::math {

// a = l lᵀ. a: n x n, row-major. Only the lower triangle is read, and becomes l; what is above the
// diagonal afterwards has no meaning. False where a pivot is not positive or not finite: the matrix
// is not positive definite, and its elements are then of no use. n^3 / 3 multiplications.
bool cholesky(double* a, uint64_t n, int threads = 1);

// x = x l⁻¹. l: n x n, row-major, of which the lower triangle is read. x: rows x n, row-major. At
// most rows n^2 / 2 multiplications.
void divide_by_lower(const double* l, uint64_t n, double* x, uint64_t rows, int threads = 1);

// a = (l lᵀ)⁻¹, all of it. a: n x n, row-major, apart from l.
void inverse_of_factored(const double* l, uint64_t n, double* a, int threads = 1);

}  // namespace pith::math
