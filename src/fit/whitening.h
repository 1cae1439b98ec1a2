// Roots of second moments, for fits that need the whole factor.
#pragma once

#include <vector>

#include "pith/fit/metric.h"

namespace pith::fit {

// Second moments (or importances as a diagonal) over their mean, so that damping is a share; of
// channels that were never seen only the damping is left.
struct DampedMoments {
  uint64_t n = 0;
  double mean = 1;             // what the matrix is in units of
  std::vector<double> matrix;  // n x n
};
// columns: of the weights, for a metric that fits any number.
DampedMoments damped_moments(const Metric& metric, uint64_t columns, double damping);

// The lower factor l of a damped matrix a = l lᵀ in its place, more damped where that is needed.
void factor(std::vector<double>& matrix, uint64_t n, int threads);

}  // namespace pith::fit
