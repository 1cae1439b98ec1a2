// Few kept elements, each with its column: outliers.
#pragma once

#include "sparse.h"
#include "sparse_values.h"

namespace pith::form {

// Compressed rows. Batches are multiplied element by element with all their vectors side by side,
// so that a row costs as many operations as it keeps elements.
class CsrForm final : public SparseForm {
 public:
  // begins: where each row begins among columns and values, rows + 1 of u32 (u64 from 2^32
  // elements). columns: u16 (u32 beyond 65536 columns), rising in each row. ErrorKind::kData when
  // they do not agree.
  CsrForm(Shape shape, const SparseOptions& options, Buffer begins, Buffer columns, FormPtr values);

  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;

  void add_rows(const RowSums& sums) const override;
  // Products are summed in another order for many vectors than for few.
  Direct direct() const override { return {false, true}; }

  static FormPtr read(Shape shape, const SparseOptions& options, BodyReader& in);
  static FormPtr encode(const SparseOptions& options, const Expression& values, MatrixView matrix);
  // kept: the elements, row-major and rising, that the values are of.
  static FormPtr make(const SparseOptions& options, Shape shape, std::span<const uint64_t> kept,
                      FormPtr values);

 private:
  void write_places(BodyWriter& to) const override;
  uint64_t begin(uint64_t row) const;
  uint64_t column(uint64_t i) const;
  uint64_t count() const { return columns_.size() / column_bytes_; }

  Buffer begins_, columns_;
  uint64_t begin_bytes_, column_bytes_;
};

}  // namespace pith::form
