// Matrices of doubles, row after row.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {

using Numbers = std::vector<double>;

inline math::StridedDoubles view(const Numbers& m, uint64_t rows, uint64_t cols) {
  return math::row_major(m.data(), rows, cols);
}

Numbers numbers(form::MatrixView m);
form::Matrix matrix(const Numbers& m, form::Shape shape);

Numbers product(const math::StridedDoubles& a, const math::StridedDoubles& b, int threads);

// The inverse of a symmetric matrix of n x n whose diagonal grows by its mean times `damping`, and
// more where that is needed. Zeros where the mean is not positive and finite.
Numbers damped_inverse(Numbers a, uint64_t n, double damping, int threads);

}  // namespace pith::fit
