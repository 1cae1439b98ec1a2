// Up to kTile rows of a matrix, and what their codes stand for: what is left of them by the metric,
// and the best scale of each group beside all others. No row depends on another.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "curvature.h"
#include "pith/form/matrix.h"
#include "tile_product.h"

namespace pith::fit {

// Elements are kept by column, kTile rows each.
class ScaledStrip {
 public:
  // group: columns that share a scale; 0: rows have none of their own.
  ScaledStrip(form::MatrixView weights, const Curvature& h, uint64_t group, uint64_t first_row,
              uint64_t rows);

  // What the rows' errors are by each column.
  void begin_descent();
  // After it.
  double error() const;

  // Each group's scale to its best beside all others, after begin_descent(). scales: has scale(row,
  // column), and set_scale(row, column, scale), which returns what is stored.
  template <class Scales>
  void improve_scales(Scales& scales) {
    if (group_ == 0) return;
    std::vector<float> products(columns_ * kTile);
    for (uint64_t first = 0; first < columns_; first += group_) {
      const uint64_t n = std::min(group_, columns_ - first);
      const float* v = values_.data() + first * kTile;
      multiply(first, n, v, products.data());
      for (uint64_t r = 0; r < rows_; ++r) {
        double linear = 0, square = 0;
        for (uint64_t i = 0; i < n; ++i) {
          linear += double{v[i * kTile + r]} * left_[(first + i) * kTile + r];
          square += double{v[i * kTile + r]} * products[(first + i) * kTile + r];
        }
        if (!(square > 0)) continue;
        const float scale = scales.scale(first_row_ + r, first);
        const float now = scales.set_scale(first_row_ + r, first,
                                           static_cast<float>(scale * (1 + linear / square)));
        const double by = double{now} / scale - 1;
        if (scale == 0 || !(by * (2 * linear - by * square) > 0)) {
          scales.set_scale(first_row_ + r, first, scale);
          continue;
        }
        const auto more = static_cast<float>(by);
        for (uint64_t c = 0; c < columns_; ++c) {
          left_[c * kTile + r] -= more * products[c * kTile + r];
        }
        for (uint64_t c = first; c < first + n; ++c) values_[c * kTile + r] *= now / scale;
      }
    }
  }

 protected:
  // to = H times the elements of n columns.
  void multiply(uint64_t first, uint64_t n, const float* v, float* to) const;

  const Curvature& h_;
  uint64_t group_, first_row_, rows_, columns_;
  std::vector<float> weights_, values_, left_;
};

}  // namespace pith::fit
