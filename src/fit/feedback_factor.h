// H = U D Uᵀ, U unit upper triangular, with the columns in the order in which they are rounded.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "curvature.h"
#include "pith/fit/feedback.h"
#include "tile_product.h"

namespace pith::fit {

struct ErrorFeedback::Factor {
  std::vector<uint64_t>
      order;                   // the column that is rounded at each step; empty: any number of them
  std::vector<double> pivots;  // D by step
  // U in panels of kTile columns, row-major, with the rows down to the diagonal; none where no
  // column depends on another.
  std::vector<std::vector<float>> panels;
  double damping = 0;
  double mean = 0;  // importance of a column

  // What was factored, over the mean, with the columns in their natural order; the pivots alone
  // where no column depends on another. columns: their number, whether or not the metric knows it.
  Curvature curvature(const Metric& metric, uint64_t columns, int threads) const;

  // The order and the pivots for so many columns, whether or not the metric knows their number.
  struct Order {
    std::vector<uint64_t> columns;
    std::vector<double> pivots;
  };
  Order steps(uint64_t columns) const {
    if (!order.empty()) return {order, pivots};
    Order natural{std::vector<uint64_t>(columns), std::vector<double>(columns, 1)};
    std::iota(natural.columns.begin(), natural.columns.end(), uint64_t{0});
    return natural;
  }
  bool feeds_back() const { return !panels.empty(); }
  // The row of U at this step, columns from this step's panel on.
  const float* row(uint64_t panel, uint64_t step) const {
    return panels[panel].data() + step * kTile;
  }
};

}  // namespace pith::fit
