// An orthonormal transform as a factor of products: what stands to its right has its rows in other
// coordinates. Nothing of it is fitted.
//
//   wavelet(levels=1) * (wavelet(levels=1) | tiles(…))     a matrix by its two-dimensional subbands
//   dct * sparse(5%)                                       few cosines over the rows
#pragma once

#include "basis.h"

namespace pith::form {

// The matrix Qᵀ, square, of a basis Q that is orthonormal.
class TransformForm final : public Form {
 public:
  explicit TransformForm(BasisPtr basis)
      : Form({basis->size(), basis->size()}), basis_(std::move(basis)) {}

  Expression expression() const override { return basis_->expression(); }
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override { return {true, true}; }
  std::string_view kind() const override { return basis_->kind(); }
  void write_body(BodyWriter& to) const override { basis_->write_body(to); }

  static FormPtr read_dct(Shape shape, BodyReader& in);
  static FormPtr read_wavelet(Shape shape, BodyReader& in);
  // Of the size that the matrix has, which must be square; its numbers do not matter.
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  BasisPtr basis_;
};

}  // namespace pith::form
