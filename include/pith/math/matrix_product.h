// Products of matrices of floats or doubles.
//
//   matrix_product(row_major(x, n, k), row_major(w, m, k).transposed(), y, m);   // y = x wᵀ
//
// Sums run over the inner dimension in ascending order, in parts of kProductSteps that are added
// up one after the other; products and sums are rounded one by one. So results are the same on
// every number of threads and instruction set, and for any division of c into parts.
#pragma once

#include <cstdint>

namespace pith::math {

// Element (r, c) is data[r * row_stride + c * col_stride].
template <class T>
struct Strided {
  const T* data = nullptr;
  uint64_t rows = 0, cols = 0;
  uint64_t row_stride = 0, col_stride = 1;

  Strided transposed() const { return {data, cols, rows, col_stride, row_stride}; }
};
using StridedMatrix = Strided<float>;
using StridedDoubles = Strided<double>;

template <class T>
Strided<T> row_major(const T* data, uint64_t rows, uint64_t cols) {
  return {data, rows, cols, cols, 1};
}

enum class ProductInto : uint8_t { kReplace, kAdd, kSubtract };

inline constexpr uint64_t kProductSteps = 256;

// c = a b, c += a b or c -= a b; row r of c begins at c + r * stride, and c is apart from a and b.
// Takes up to 8 MiB (of doubles 16) for copies of parts of a and b. threads: as thread_count().
// Throws ErrorKind::kUsage where a has not as many columns as b has rows, or the rows of c overlap.
void matrix_product(const StridedMatrix& a, const StridedMatrix& b, float* c, uint64_t stride,
                    ProductInto into = ProductInto::kReplace, int threads = 1);
void matrix_product(const StridedDoubles& a, const StridedDoubles& b, double* c, uint64_t stride,
                    ProductInto into = ProductInto::kReplace, int threads = 1);

}  // namespace pith::math
