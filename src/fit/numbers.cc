#include "numbers.h"

#include <algorithm>
#include <cmath>

#include "pith/math/cholesky.h"
#include "whitening.h"

namespace pith::fit {

Numbers numbers(form::MatrixView m) { return {m.data, m.data + m.shape.size()}; }

form::Matrix matrix(const Numbers& m, form::Shape shape) {
  form::Matrix out(shape);
  std::ranges::transform(m, out.values.begin(), [](double v) { return static_cast<float>(v); });
  return out;
}

Numbers product(const math::StridedDoubles& a, const math::StridedDoubles& b, int threads) {
  Numbers out(a.rows * b.cols);
  math::matrix_product(a, b, out.data(), b.cols, math::ProductInto::kReplace, threads);
  return out;
}

Numbers damped_inverse(Numbers a, uint64_t n, double damping, int threads) {
  double mean = 0;
  for (uint64_t i = 0; i < n; ++i) mean += a[i * n + i] / static_cast<double>(n);
  Numbers out(n * n);
  if (!(mean > 0) || !std::isfinite(mean)) return out;
  for (double& v : a) v /= mean;
  for (uint64_t i = 0; i < n; ++i) a[i * n + i] += damping;
  factor(a, n, threads);
  math::inverse_of_factored(a.data(), n, out.data(), threads);
  for (double& v : out) v /= mean;
  return out;
}

}  // namespace pith::fit
