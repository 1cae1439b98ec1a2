#include "pith/math/matrix_product.h"

#include <algorithm>
#include <memory>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "product_tile.h"

namespace pith::math {
namespace {

// Rows and columns of c that are worked off together: their parts of a and b are copied once.
constexpr uint64_t kPanelRows = kTileRows * 336, kPanelCols = kTileCols * 128;
// Rows and columns of a task: its part of a stays in the second cache.
constexpr uint64_t kTaskRows = kTileRows * 16, kTaskCols = kTileCols * 16;
// Below so many multiplications other threads are not worth waking.
constexpr uint64_t kWorthThreads = uint64_t{1} << 20;

constexpr uint64_t tiles(uint64_t n, uint64_t size) { return (n + size - 1) / size; }

// Rows of a or columns of b, as the tiles read them: for each step kWidth numbers, zeros where
// there are fewer.
template <uint64_t kWidth>
void pack(const float* from, uint64_t count, uint64_t stride, uint64_t steps, uint64_t step_stride,
          float* to) {
  if (count < kWidth) std::fill(to, to + steps * kWidth, 0.0F);
  if (stride == 1) {
    for (uint64_t t = 0; t < steps; ++t, from += step_stride, to += kWidth) {
      std::copy(from, from + count, to);
    }
    return;
  }
  for (uint64_t i = 0; i < count; ++i) {
    for (uint64_t t = 0; t < steps; ++t) to[t * kWidth + i] = from[i * stride + t * step_stride];
  }
}

// A range of rows, columns or steps.
struct Range {
  uint64_t first, count;
};
Range part(uint64_t all, uint64_t first, uint64_t most) {
  return {first, std::min(most, all - first)};
}

class Product {
 public:
  Product(const StridedMatrix& a, const StridedMatrix& b, float* c, uint64_t stride, int threads)
      : a_(a), b_(b), c_(c), stride_(stride), threads_(threads) {
    const uint64_t steps = std::min(a.cols, kProductSteps);
    // Tiles begin where vectors do.
    right_at_ = tiles(std::min(a.rows, kPanelRows), kTileRows) * kTileRows * steps;
    right_at_ = tiles(right_at_, 16) * 16;
    const uint64_t right = tiles(std::min(b.cols, kPanelCols), kTileCols) * kTileCols * steps;
    memory_ = std::make_unique_for_overwrite<float[]>(right_at_ + right + 16);
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    left_ = memory_.get() + (64 - at % 64) % 64 / sizeof(float);
  }

  void panel(Range rows, Range cols, Range steps, bool add) {
    copy(rows, cols, steps);
    const uint64_t down = tiles(rows.count, kTaskRows), across = tiles(cols.count, kTaskCols);
    parallel_for(threads_, down * across, [&](size_t task) {
      const Range r = part(rows.count, task % down * kTaskRows, kTaskRows);
      const Range s = part(cols.count, task / down * kTaskCols, kTaskCols);
      float* to = c_ + rows.first * stride_ + cols.first;
      for (uint64_t j = s.first; j < s.first + s.count; j += kTileCols) {
        for (uint64_t i = r.first; i < r.first + r.count; i += kTileRows) {
          tile(i, j, part(rows.count, i, kTileRows).count, part(cols.count, j, kTileCols).count,
               steps.count, to + i * stride_ + j, add);
        }
      }
    });
  }

 private:
  void copy(Range rows, Range cols, Range steps) {
    const uint64_t down = tiles(rows.count, kTileRows), across = tiles(cols.count, kTileCols);
    const uint64_t n = steps.count;
    // Several of them to a task.
    constexpr uint64_t kSome = 4;
    parallel_for(threads_, tiles(down + across, kSome), [&](size_t task) {
      for (uint64_t k = task * kSome; k < std::min((task + 1) * kSome, down + across); ++k) {
        if (k < down) {
          const Range r = part(rows.count, k * kTileRows, kTileRows);
          pack<kTileRows>(
              a_.data + (rows.first + r.first) * a_.row_stride + steps.first * a_.col_stride,
              r.count, a_.row_stride, n, a_.col_stride, left_ + r.first * n);
        } else {
          const Range s = part(cols.count, (k - down) * kTileCols, kTileCols);
          pack<kTileCols>(
              b_.data + (cols.first + s.first) * b_.col_stride + steps.first * b_.row_stride,
              s.count, b_.col_stride, n, b_.row_stride, left_ + right_at_ + s.first * n);
        }
      }
    });
  }

  // At row i and column j of the panel.
  void tile(uint64_t i, uint64_t j, uint64_t rows, uint64_t cols, uint64_t steps, float* to,
            bool add) const {
    const float *left = left_ + i * steps, *right = left_ + right_at_ + j * steps;
    if (rows == kTileRows && cols == kTileCols) {
      return product_tile(left, right, steps, to, stride_, add);
    }
    alignas(64) float sums[kTileRows * kTileCols];
    product_tile(left, right, steps, sums, kTileCols, false);
    for (uint64_t r = 0; r < rows; ++r) {
      const float* from = sums + r * kTileCols;
      for (uint64_t c = 0; c < cols; ++c) {
        float& sum = to[r * stride_ + c];
        sum = add ? sum + from[c] : from[c];
      }
    }
  }

  const StridedMatrix &a_, &b_;
  float* c_;
  uint64_t stride_, right_at_;
  int threads_;
  std::unique_ptr<float[]> memory_;
  float* left_;
};

}  // namespace

void matrix_product(const StridedMatrix& a, const StridedMatrix& b, float* c, uint64_t stride,
                    ProductInto into, int threads) {
  if (a.cols != b.rows) {
    fail(ErrorKind::kUsage, "a matrix of {} columns is multiplied by one of {} rows", a.cols,
         b.rows);
  }
  if (a.rows > 1 && stride < b.cols) {
    fail(ErrorKind::kUsage, "rows of {} elements every {} elements overlap", b.cols, stride);
  }
  if (a.rows == 0 || b.cols == 0) return;
  bool add = into == ProductInto::kAdd;
  if (a.cols == 0) {
    for (uint64_t r = 0; r < a.rows && !add; ++r) std::fill_n(c + r * stride, b.cols, 0.0F);
    return;
  }
  const bool small = a.rows * b.cols < kWorthThreads && a.rows * b.cols * a.cols < kWorthThreads;
  Product product(a, b, c, stride, small ? 1 : thread_count(threads));
  for (uint64_t t = 0; t < a.cols; t += kProductSteps, add = true) {
    for (uint64_t j = 0; j < b.cols; j += kPanelCols) {
      for (uint64_t i = 0; i < a.rows; i += kPanelRows) {
        product.panel(part(a.rows, i, kPanelRows), part(b.cols, j, kPanelCols),
                      part(a.cols, t, kProductSteps), add);
      }
    }
  }
}

}  // namespace pith::math
