// Pieces of columns whose paths are searched anew beside all other columns.
#pragma once

#include <cstdint>
#include <vector>

#include "curvature.h"

namespace pith::fit {

// H of the piece's columns = U D Uᵀ.
struct PathPiece {
  uint64_t first, last;
  std::vector<float> factor;   // U, row-major
  std::vector<double> pivots;  // D

  uint64_t size() const { return last - first; }
  // x = the inverse of H times these.
  void solve(const double* b, double* x) const;
};

// Of so many columns each, the first of them shorter by `offset`; those whose columns nearly depend
// on each other are left out.
std::vector<PathPiece> path_pieces(const Curvature& h, uint64_t length, uint64_t offset,
                                   int threads);

}  // namespace pith::fit
