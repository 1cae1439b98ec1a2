// H of a metric's columns: a matrix, or a diagonal where nothing is known beside it.
#pragma once

#include <cstdint>
#include <vector>

namespace pith::fit {

struct Curvature {
  uint64_t n = 0;
  std::vector<float> matrix;  // n x n, or empty
  std::vector<float> diagonal;

  // to = rows H, for so many rows.
  void multiply(const float* rows, uint64_t count, float* to, int threads) const;
};

}  // namespace pith::fit
