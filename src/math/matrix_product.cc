#include "pith/math/matrix_product.h"

#include <algorithm>
#include <memory>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "product_tile.h"

namespace pith::math {
namespace {

// Rows and columns of c that are worked off together: their parts of a and b are copied once.
constexpr uint64_t kPanelRows = kTileRows * 336;
template <class T>
constexpr uint64_t kPanelCols = kTileCols<T> * 128;
// Rows and columns of a task: its part of a stays in the second cache.
constexpr uint64_t kTaskRows = kTileRows * 16;
template <class T>
constexpr uint64_t kTaskCols = kTileCols<T> * 16;
// Below so many multiplications other threads are not worth waking.
constexpr uint64_t kWorthThreads = uint64_t{1} << 20;

constexpr uint64_t tiles(uint64_t n, uint64_t size) { return (n + size - 1) / size; }

// Rows of a or columns of b, as the tiles read them: for each step kWidth numbers, zeros where
// there are fewer.
template <uint64_t kWidth, class T>
void pack(const T* from, uint64_t count, uint64_t stride, uint64_t steps, uint64_t step_stride,
          T* to) {
  if (count < kWidth) std::fill(to, to + steps * kWidth, T{0});
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

template <class T>
class Product {
 public:
  Product(const Strided<T>& a, const Strided<T>& b, T* c, uint64_t stride, int threads)
      : a_(a), b_(b), c_(c), stride_(stride), threads_(threads) {
    const uint64_t steps = std::min(a.cols, kProductSteps);
    // Tiles begin where vectors do.
    right_at_ = tiles(std::min(a.rows, kPanelRows), kTileRows) * kTileRows * steps;
    right_at_ = tiles(right_at_, 16) * 16;
    const uint64_t right =
        tiles(std::min(b.cols, kPanelCols<T>), kTileCols<T>) * kTileCols<T> * steps;
    memory_ = std::make_unique_for_overwrite<T[]>(right_at_ + right + 16);
    const auto at = reinterpret_cast<uintptr_t>(memory_.get());
    left_ = memory_.get() + (64 - at % 64) % 64 / sizeof(T);
  }

  void panel(Range rows, Range cols, Range steps, ProductInto into) {
    copy(rows, cols, steps);
    const uint64_t down = tiles(rows.count, kTaskRows), across = tiles(cols.count, kTaskCols<T>);
    parallel_for(threads_, down * across, [&](size_t task) {
      const Range r = part(rows.count, task % down * kTaskRows, kTaskRows);
      const Range s = part(cols.count, task / down * kTaskCols<T>, kTaskCols<T>);
      T* to = c_ + rows.first * stride_ + cols.first;
      for (uint64_t j = s.first; j < s.first + s.count; j += kTileCols<T>) {
        for (uint64_t i = r.first; i < r.first + r.count; i += kTileRows) {
          tile(i, j, part(rows.count, i, kTileRows).count, part(cols.count, j, kTileCols<T>).count,
               steps.count, to + i * stride_ + j, into);
        }
      }
    });
  }

 private:
  void copy(Range rows, Range cols, Range steps) {
    const uint64_t down = tiles(rows.count, kTileRows), across = tiles(cols.count, kTileCols<T>);
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
          const Range s = part(cols.count, (k - down) * kTileCols<T>, kTileCols<T>);
          pack<kTileCols<T>>(
              b_.data + (cols.first + s.first) * b_.col_stride + steps.first * b_.row_stride,
              s.count, b_.col_stride, n, b_.row_stride, left_ + right_at_ + s.first * n);
        }
      }
    });
  }

  // At row i and column j of the panel.
  void tile(uint64_t i, uint64_t j, uint64_t rows, uint64_t cols, uint64_t steps, T* to,
            ProductInto into) const {
    const T *left = left_ + i * steps, *right = left_ + right_at_ + j * steps;
    if (rows == kTileRows && cols == kTileCols<T>) {
      return product_tile(left, right, steps, to, stride_, into);
    }
    alignas(64) T sums[kTileRows * kTileCols<T>];
    product_tile(left, right, steps, sums, kTileCols<T>, ProductInto::kReplace);
    for (uint64_t r = 0; r < rows; ++r) {
      const T* from = sums + r * kTileCols<T>;
      for (uint64_t c = 0; c < cols; ++c) {
        T& sum = to[r * stride_ + c];
        sum = into == ProductInto::kAdd        ? sum + from[c]
              : into == ProductInto::kSubtract ? sum - from[c]
                                               : from[c];
      }
    }
  }

  const Strided<T>&a_, &b_;
  T* c_;
  uint64_t stride_, right_at_;
  int threads_;
  std::unique_ptr<T[]> memory_;
  T* left_;
};

template <class T>
void multiply(const Strided<T>& a, const Strided<T>& b, T* c, uint64_t stride, ProductInto into,
              int threads) {
  if (a.cols != b.rows) {
    fail(ErrorKind::kUsage, "a matrix of {} columns is multiplied by one of {} rows", a.cols,
         b.rows);
  }
  if (a.rows > 1 && stride < b.cols) {
    fail(ErrorKind::kUsage, "rows of {} elements every {} elements overlap", b.cols, stride);
  }
  if (a.rows == 0 || b.cols == 0) return;
  if (a.cols == 0) {
    for (uint64_t r = 0; r < a.rows && into == ProductInto::kReplace; ++r)
      std::fill_n(c + r * stride, b.cols, T{0});
    return;
  }
  const bool small = a.rows * b.cols < kWorthThreads && a.rows * b.cols * a.cols < kWorthThreads;
  Product<T> product(a, b, c, stride, small ? 1 : thread_count(threads));
  for (uint64_t t = 0; t < a.cols; t += kProductSteps) {
    for (uint64_t j = 0; j < b.cols; j += kPanelCols<T>) {
      for (uint64_t i = 0; i < a.rows; i += kPanelRows) {
        product.panel(part(a.rows, i, kPanelRows), part(b.cols, j, kPanelCols<T>),
                      part(a.cols, t, kProductSteps), into);
      }
    }
    if (into == ProductInto::kReplace) into = ProductInto::kAdd;
  }
}

}  // namespace

void matrix_product(const StridedMatrix& a, const StridedMatrix& b, float* c, uint64_t stride,
                    ProductInto into, int threads) {
  multiply(a, b, c, stride, into, threads);
}

void matrix_product(const StridedDoubles& a, const StridedDoubles& b, double* c, uint64_t stride,
                    ProductInto into, int threads) {
  multiply(a, b, c, stride, into, threads);
}

}  // namespace pith::math
