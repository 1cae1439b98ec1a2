// The best approximation of a matrix by one of low rank.
#pragma once

#include <cstdint>
#include <vector>

namespace pith::math {

// a ~ u diag(s) v: u is rows x rank and v rank x cols, row-major, both orthonormal; s falls.
struct Svd {
  uint64_t rank = 0;
  std::vector<float> u, s, v;
};

// a: rows x cols, row-major, finite. rank: at most min(rows, cols). Small matrices exactly, large
// ones by subspace iteration from a fixed seed (Halko, Martinsson and Tropp 2011), whose error is
// within a few percent of the best where the singular values fall slowly.
Svd truncated_svd(const float* a, uint64_t rows, uint64_t cols, uint64_t rank);

}  // namespace pith::math
