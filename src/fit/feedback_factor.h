// H = U D Uᵀ, U unit upper triangular, with the columns in the order in which they are rounded.
#pragma once

#include <cstdint>
#include <vector>

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

  bool feeds_back() const { return !panels.empty(); }
  // The row of U at this step, columns from this step's panel on.
  const float* row(uint64_t panel, uint64_t step) const {
    return panels[panel].data() + step * kTile;
  }
};

}  // namespace pith::fit
