#include "curvature.h"

#include "pith/math/matrix_product.h"

namespace pith::fit {

void Curvature::multiply(const float* rows, uint64_t count, float* to, int threads) const {
  if (!matrix.empty()) {
    math::matrix_product(math::row_major(rows, count, n), math::row_major(matrix.data(), n, n), to,
                         n, math::ProductInto::kReplace, threads);
    return;
  }
  for (uint64_t i = 0; i < count * n; ++i) to[i] = rows[i] * diagonal[i % n];
}

}  // namespace pith::fit
