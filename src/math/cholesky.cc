#include "pith/math/cholesky.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "pith/base/parallel.h"
#include "pith/math/matrix_product.h"

namespace pith::math {
namespace {

// Columns that are brought up to date together by one long product, and those of them that are
// then worked off element by element.
constexpr uint64_t kPanel = 256, kBlock = 32;
// Rows that are worked off side by side, and those of a task.
constexpr uint64_t kLanes = 8, kTaskRows = 64;

// A range of rows or columns.
struct Range {
  uint64_t first, last;
  uint64_t size() const { return last - first; }
};

StridedDoubles part(const double* a, uint64_t stride, Range rows, Range cols) {
  return {a + rows.first * stride + cols.first, rows.size(), cols.size(), stride, 1};
}

// kLanes rows of the columns of a block, side by side.
using Lanes = double[kBlock][kLanes];

// x = x l⁻ᵀ, for up to kLanes rows and a block's columns. l: at the block's corner.
void divide_lanes_by_upper(const double* l, uint64_t stride, uint64_t width, Lanes& x) {
  for (uint64_t j = 0; j < width; ++j) {
    for (uint64_t i = 0; i < j; ++i) {
      const double factor = l[j * stride + i];
      for (uint64_t k = 0; k < kLanes; ++k) x[j][k] -= factor * x[i][k];
    }
    for (uint64_t k = 0; k < kLanes; ++k) x[j][k] /= l[j * stride + j];
  }
}

// x = x l⁻¹.
void divide_lanes_by_lower(const double* l, uint64_t stride, uint64_t width, Lanes& x) {
  for (uint64_t j = width; j-- > 0;) {
    for (uint64_t i = j + 1; i < width; ++i) {
      const double factor = l[i * stride + j];
      for (uint64_t k = 0; k < kLanes; ++k) x[j][k] -= factor * x[i][k];
    }
    for (uint64_t k = 0; k < kLanes; ++k) x[j][k] /= l[j * stride + j];
  }
}

// divide() for these rows of x, kLanes at a time; x: at the block's first column.
template <class Divide>
void divide_rows(const double* l, uint64_t stride, uint64_t width, double* x, uint64_t x_stride,
                 Range rows, int threads, const Divide& divide) {
  const uint64_t tasks = (rows.size() + kTaskRows - 1) / kTaskRows;
  parallel_for(threads, tasks, [&](size_t task) {
    const uint64_t begin = rows.first + task * kTaskRows;
    const uint64_t end = std::min(begin + kTaskRows, rows.last);
    for (uint64_t r = begin; r < end; r += kLanes) {
      const uint64_t n = std::min(kLanes, end - r);
      Lanes lanes = {};
      for (uint64_t k = 0; k < n; ++k) {
        for (uint64_t j = 0; j < width; ++j) lanes[j][k] = x[(r + k) * x_stride + j];
      }
      divide(l, stride, width, lanes);
      for (uint64_t k = 0; k < n; ++k) {
        for (uint64_t j = 0; j < width; ++j) x[(r + k) * x_stride + j] = lanes[j][k];
      }
    }
  });
}

// The factor of a block on the diagonal.
bool factor_block(double* a, uint64_t stride, uint64_t width) {
  for (uint64_t j = 0; j < width; ++j) {
    double* row = a + j * stride;
    for (uint64_t c = 0; c <= j; ++c) {
      double sum = row[c];
      for (uint64_t i = 0; i < c; ++i) sum -= row[i] * a[c * stride + i];
      if (c < j) {
        row[c] = sum / a[c * stride + c];
      } else if (sum > 0 && std::isfinite(sum)) {
        row[c] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  return true;
}

// Where columns are l's, less what the columns `done` before them account for.
void bring_up_to_date(double* a, uint64_t n, Range done, Range columns, int threads) {
  const Range rows{columns.first, n};
  matrix_product(part(a, n, rows, done), part(a, n, columns, done).transposed(),
                 a + rows.first * n + columns.first, n, ProductInto::kSubtract, threads);
}

// x = x l⁻¹, where rows above `first_row(column)` are zero and stay so.
template <class FirstRow>
void divide(const double* l, uint64_t n, double* x, uint64_t rows, int threads,
            const FirstRow& first_row) {
  const auto subtract = [&](Range later, Range columns) {
    const Range below{first_row(columns.first), rows};
    matrix_product(part(x, n, below, later), part(l, n, later, columns),
                   x + below.first * n + columns.first, n, ProductInto::kSubtract, threads);
  };
  for (uint64_t panel = (n + kPanel - 1) / kPanel; panel-- > 0;) {
    const Range columns{panel * kPanel, std::min((panel + 1) * kPanel, n)};
    subtract({columns.last, n}, columns);
    for (uint64_t block = (columns.size() + kBlock - 1) / kBlock; block-- > 0;) {
      const uint64_t first = columns.first + block * kBlock;
      const Range own{first, std::min(first + kBlock, columns.last)};
      subtract({own.last, columns.last}, own);
      divide_rows(l + first * n + first, n, own.size(), x + first, n, {first_row(first), rows},
                  threads, [](const double* d, uint64_t stride, uint64_t width, Lanes& lanes) {
                    divide_lanes_by_lower(d, stride, width, lanes);
                  });
    }
  }
}

}  // namespace

bool cholesky(double* a, uint64_t n, int threads) {
  threads = thread_count(threads);
  for (uint64_t panel = 0; panel < n; panel += kPanel) {
    const Range columns{panel, std::min(panel + kPanel, n)};
    bring_up_to_date(a, n, {0, panel}, columns, threads);
    for (uint64_t first = panel; first < columns.last; first += kBlock) {
      const Range own{first, std::min(first + kBlock, columns.last)};
      bring_up_to_date(a, n, {panel, first}, own, threads);
      double* corner = a + first * n + first;
      if (!factor_block(corner, n, own.size())) return false;
      divide_rows(corner, n, own.size(), a + first, n, {own.last, n}, threads,
                  [](const double* l, uint64_t stride, uint64_t width, Lanes& lanes) {
                    divide_lanes_by_upper(l, stride, width, lanes);
                  });
    }
  }
  return true;
}

void divide_by_lower(const double* l, uint64_t n, double* x, uint64_t rows, int threads) {
  divide(l, n, x, rows, thread_count(threads), [](uint64_t) { return uint64_t{0}; });
}

void inverse_of_factored(const double* l, uint64_t n, double* a, int threads) {
  threads = thread_count(threads);
  std::vector<double> x(n * n);
  for (uint64_t c = 0; c < n; ++c) x[c * n + c] = 1;
  divide(l, n, x.data(), n, threads, [](uint64_t column) { return column; });
  // l⁻ᵀ l⁻¹, its lower triangle in strips of columns.
  for (uint64_t first = 0; first < n; first += kPanel) {
    const Range rows{first, n}, columns{first, std::min(first + kPanel, n)};
    matrix_product(part(x.data(), n, rows, rows).transposed(), part(x.data(), n, rows, columns),
                   a + first * n + first, n, ProductInto::kReplace, threads);
    for (uint64_t c = columns.first; c < columns.last; ++c) {
      for (uint64_t r = c + 1; r < n; ++r) a[c * n + r] = a[r * n + c];
    }
  }
}

}  // namespace pith::math
