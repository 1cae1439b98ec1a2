// The same block again and again on the diagonal: what lifts runs of a few coordinates to runs of
// more (LR2VQ: low-rank representation vector quantization), or mixes all runs of neighbours alike.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// Of a matrix with n runs of `length` columns (the last may be shorter) and n d rows: block i has
// rows i d and columns i length on.
class RepeatedForm final : public Form {
 public:
  // values: the block, d x length. ErrorKind::kData unless it fits.
  RepeatedForm(Shape shape, FormPtr values);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "repeated"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  // The block of least squares: the mean of those of the matrix.
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  uint64_t height_, length_;
  FormPtr values_;
};

}  // namespace pith::form
