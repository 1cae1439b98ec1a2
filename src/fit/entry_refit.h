// The entries of a codebook of least error beside codes and scales.
#pragma once

#include <span>
#include <vector>

#include "pith/form/vector_fit.h"

namespace pith::fit {

// H of a metric's columns: a matrix, or a diagonal where nothing is known beside it.
struct Curvature {
  uint64_t n = 0;
  std::vector<float> matrix;  // n x n, or empty
  std::vector<float> diagonal;

  // to = rows H, for so many rows.
  void multiply(const float* rows, uint64_t count, float* to, int threads) const;
};

// By conjugate gradients, for so many rows that each entry is in many elements. importance: of each
// row; empty: all alike.
void refit_entries(const Curvature& h, form::MatrixView weights, std::span<const double> importance,
                   int threads, form::VectorFit& fit);

}  // namespace pith::fit
