#include "whitening.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/math/cholesky.h"

namespace pith::fit {

DampedMoments damped_moments(const Metric& metric, uint64_t columns, double damping) {
  if (!(damping >= 0) || std::isinf(damping))
    fail(ErrorKind::kUsage, "damping must be at least 0, got {}", damping);
  DampedMoments out{columns, 0, std::vector<double>(columns * columns)};
  for (uint64_t c = 0; c < columns; ++c) out.mean += metric.importance(c);
  out.mean /= static_cast<double>(std::max<uint64_t>(columns, 1));
  // Nothing was seen: all are alike.
  const bool nothing = !(out.mean > 0);
  if (nothing) out.mean = 1;
  if (metric.kind() == Metric::Kind::kSecondMoments && !nothing) {
    std::ranges::transform(metric.matrix(), out.matrix.begin(),
                           [&](double v) { return v / out.mean; });
  }
  for (uint64_t c = 0; c < columns; ++c) {
    out.matrix[c * columns + c] = (nothing ? 1 : metric.importance(c) / out.mean) + damping;
  }
  return out;
}

void factor(std::vector<double>& matrix, uint64_t n, int threads) {
  constexpr double kLeast = 1e-9, kRaise = 10;
  const std::vector<double> plain = matrix;
  for (double more = kLeast; !math::cholesky(matrix.data(), n, threads); more *= kRaise) {
    matrix = plain;
    for (uint64_t c = 0; c < n; ++c) matrix[c * n + c] += more;
  }
}

}  // namespace pith::fit
