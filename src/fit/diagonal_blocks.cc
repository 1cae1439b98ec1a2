#include "diagonal_blocks.h"

#include <algorithm>

namespace pith::fit {

using math::ProductInto;

DiagonalBlocks::DiagonalBlocks(uint64_t n, uint64_t size)
    : n_(n), size_(std::max<uint64_t>(1, std::min(size, n))), values_(n_ * size_) {
  for (uint64_t i = 0; i < n_; ++i) values_[i * size_ + i % size_] = 1;
}

void DiagonalBlocks::add(uint64_t b, const Numbers& change) {
  const uint64_t n = length(b);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < n; ++c) values_[(first(b) + r) * size_ + c] += change[r * n + c];
  }
}

form::Matrix DiagonalBlocks::dense() const {
  form::Matrix out({n_, n_});
  for (uint64_t r = 0; r < n_; ++r) {
    const uint64_t b = r / size_;
    for (uint64_t c = 0; c < length(b); ++c) {
      out.row(r)[first(b) + c] = static_cast<float>(values_[r * size_ + c]);
    }
  }
  return out;
}

Numbers DiagonalBlocks::times(const Numbers& m, uint64_t cols, int threads, bool transposed) const {
  Numbers out(m.size());
  for (uint64_t b = 0; b < count(); ++b) {
    math::matrix_product(transposed ? block(b).transposed() : block(b),
                         rows_of(m, cols, first(b), length(b)), out.data() + first(b) * cols, cols,
                         ProductInto::kReplace, threads);
  }
  return out;
}

Numbers DiagonalBlocks::after(const Numbers& m, uint64_t rows, int threads, bool transposed) const {
  Numbers out(m.size());
  for (uint64_t b = 0; b < count(); ++b) {
    math::matrix_product(columns_of(m, rows, n_, first(b), length(b)),
                         transposed ? block(b).transposed() : block(b), out.data() + first(b), n_,
                         ProductInto::kReplace, threads);
  }
  return out;
}

}  // namespace pith::fit
