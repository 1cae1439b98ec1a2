// Whole columns that are kept: inputs that count.
#pragma once

#include "sparse.h"

namespace pith::form {

// Values: the kept columns side by side, a form of as many rows. The input's elements for these
// are gathered once.
class ColumnsForm final : public SparseForm {
 public:
  // mask: a bit for every column, filled up to bytes. ErrorKind::kData when it does not agree with
  // the values.
  ColumnsForm(Shape shape, const SparseOptions& options, Buffer mask, FormPtr values);

  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;

  static FormPtr read(Shape shape, const SparseOptions& options, BodyReader& in);
  static FormPtr encode(const SparseOptions& options, const Expression& values, MatrixView matrix);

 private:
  void write_places(BodyWriter& to) const override;

  Buffer mask_;
  std::vector<uint64_t> columns_;
};

}  // namespace pith::form
