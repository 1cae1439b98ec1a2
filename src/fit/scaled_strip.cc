#include "scaled_strip.h"

#include "pith/math/matrix_product.h"

namespace pith::fit {

ScaledStrip::ScaledStrip(form::MatrixView weights, const Curvature& h, uint64_t group,
                         uint64_t first_row, uint64_t rows)
    : h_(h),
      group_(group),
      first_row_(first_row),
      rows_(rows),
      columns_(weights.shape.cols),
      weights_(columns_ * kTile),
      values_(columns_ * kTile),
      left_(columns_ * kTile) {
  for (uint64_t r = 0; r < rows; ++r) {
    const auto row = weights.row(first_row + r);
    for (uint64_t c = 0; c < columns_; ++c) weights_[c * kTile + r] = row[c];
  }
}

void ScaledStrip::begin_descent() {
  std::vector<float> errors(weights_.size());
  for (uint64_t i = 0; i < errors.size(); ++i) errors[i] = weights_[i] - values_[i];
  if (h_.matrix.empty()) {
    for (uint64_t i = 0; i < errors.size(); ++i) left_[i] = h_.diagonal[i / kTile] * errors[i];
    return;
  }
  math::matrix_product(math::row_major(h_.matrix.data(), columns_, columns_),
                       math::row_major(errors.data(), columns_, kTile), left_.data(), kTile);
}

double ScaledStrip::error() const {
  double sum = 0;
  for (uint64_t i = 0; i < weights_.size(); ++i) {
    sum += (double{weights_[i]} - values_[i]) * left_[i];
  }
  return sum;
}

void ScaledStrip::multiply(uint64_t first, uint64_t n, const float* v, float* to) const {
  std::fill_n(to, columns_ * kTile, 0.0f);
  if (h_.matrix.empty()) {
    for (uint64_t i = 0; i < n * kTile; ++i) {
      to[first * kTile + i] = h_.diagonal[first + i / kTile] * v[i];
    }
    return;
  }
  math::matrix_product({h_.matrix.data() + first, columns_, n, columns_, 1},
                       math::row_major(v, n, kTile), to, kTile);
}

}  // namespace pith::fit
