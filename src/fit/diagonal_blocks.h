// A square matrix of blocks on the diagonal.
#pragma once

#include <algorithm>

#include "numbers.h"

namespace pith::fit {

class DiagonalBlocks {
 public:
  DiagonalBlocks() = default;
  // The identity of n x n, in blocks of this size and, where that does not divide n, a shorter one.
  DiagonalBlocks(uint64_t n, uint64_t size);

  uint64_t count() const { return n_ == 0 ? 0 : (n_ + size_ - 1) / size_; }
  uint64_t first(uint64_t block) const { return block * size_; }
  uint64_t length(uint64_t block) const { return std::min(size_, n_ - first(block)); }
  math::StridedDoubles block(uint64_t b) const {
    return {values_.data() + first(b) * size_, length(b), length(b), size_, 1};
  }
  void add(uint64_t b, const Numbers& change);
  form::Matrix dense() const;

  // The product with m from the left, or its transpose's: m has n rows.
  Numbers times(const Numbers& m, uint64_t cols, int threads, bool transposed = false) const;
  // The same from the right: m has n columns.
  Numbers after(const Numbers& m, uint64_t rows, int threads, bool transposed = false) const;

 private:
  uint64_t n_ = 0, size_ = 1;
  Numbers values_;  // the blocks one below the other
};

inline math::StridedDoubles rows_of(const Numbers& m, uint64_t cols, uint64_t first,
                                    uint64_t count) {
  return math::row_major(m.data() + first * cols, count, cols);
}
inline math::StridedDoubles columns_of(const Numbers& m, uint64_t rows, uint64_t cols,
                                       uint64_t first, uint64_t count) {
  return {m.data() + first, rows, count, cols, 1};
}

}  // namespace pith::fit
