#include "path_pieces.h"

#include <algorithm>

#include "pith/base/parallel.h"

namespace pith::fit {
namespace {

// A pivot is at least this share of its column's importance.
constexpr double kLeastPivot = 1e-7;

// From the last column back. False where the piece is to be left out.
bool factorize(const Curvature& h, PathPiece& piece) {
  const uint64_t n = piece.size();
  std::vector<double> u(n * n);  // by column
  piece.pivots.resize(n);
  const auto at = [&](uint64_t i, uint64_t j) -> double {
    return h.matrix[(piece.first + i) * h.n + piece.first + j];
  };
  std::vector<double> left(n);
  for (uint64_t j = n; j-- > 0;) {
    for (uint64_t i = 0; i <= j; ++i) left[i] = at(i, j);
    for (uint64_t k = j + 1; k < n; ++k) {
      const double* column = u.data() + k * n;
      const double by = piece.pivots[k] * column[j];
      for (uint64_t i = 0; i <= j; ++i) left[i] -= by * column[i];
    }
    const double pivot = left[j];
    if (!(pivot > kLeastPivot * at(j, j))) return false;
    piece.pivots[j] = pivot;
    for (uint64_t i = 0; i <= j; ++i) u[j * n + i] = left[i] / pivot;
  }
  piece.factor.resize(n * n);
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = i; j < n; ++j) piece.factor[i * n + j] = static_cast<float>(u[j * n + i]);
  }
  return true;
}

}  // namespace

void PathPiece::solve(const double* b, double* x) const {
  const uint64_t n = size();
  for (uint64_t i = n; i-- > 0;) {
    double sum = b[i];
    for (uint64_t j = i + 1; j < n; ++j) sum -= factor[i * n + j] * x[j];
    x[i] = sum;
  }
  for (uint64_t i = 0; i < n; ++i) x[i] /= pivots[i];
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = i + 1; j < n; ++j) x[j] -= factor[i * n + j] * x[i];
  }
}

std::vector<PathPiece> path_pieces(const Curvature& h, uint64_t length, uint64_t offset,
                                   int threads) {
  std::vector<PathPiece> pieces;
  for (uint64_t first = 0; first < h.n;) {
    const uint64_t end = first == 0 ? length - offset : first + length;
    pieces.push_back({first, std::min(end, h.n), {}, {}});
    first = pieces.back().last;
  }
  std::vector<uint8_t> good(pieces.size());
  parallel_for(threads, pieces.size(), [&](size_t i) { good[i] = factorize(h, pieces[i]); });
  size_t i = 0;
  std::erase_if(pieces, [&](const PathPiece&) { return good[i++] == 0; });
  return pieces;
}

}  // namespace pith::fit
