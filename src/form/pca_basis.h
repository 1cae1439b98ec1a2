// The matrix's own axes: columns become coordinates that do not correlate over the rows, the
// largest first.
#pragma once

#include <mutex>

#include "basis.h"

namespace pith::form {

// pca: of all columns; pca(block=64): of each 64 columns by themselves. The axes are stored as f16,
// so they are orthonormal up to its rounding only: rows are changed by their exact inverse.
class PcaBasis final : public Basis {
 public:
  // axes: for each block its matrix, row-major, a row for each axis; finite.
  PcaBasis(uint64_t size, uint64_t block, std::vector<float> axes)
      : Basis(size), block_(block), axes_(std::move(axes)) {}

  std::string_view kind() const override { return "pca"; }
  Expression expression() const override;
  void write_body(BodyWriter& to) const override;
  void forward(float* x) const override;
  void back(float* row) const override;
  void change(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  // Calls f(first column, columns, offset of the block's matrix).
  template <class Function>
  static void for_each_block(uint64_t size, uint64_t block, Function&& f);

  uint64_t block_;  // 0: all columns
  std::vector<float> axes_;
  mutable std::once_flag once_;
  mutable std::vector<float> inverse_;  // of each block's matrix
};

}  // namespace pith::form
