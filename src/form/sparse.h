// Few elements that are not zero, each with its place.
#pragma once

#include "pith/base/buffer.h"
#include "pith/form/form.h"

namespace pith::form {

// What the largest elements were chosen by.
struct SparsePattern {
  double share = 0;       // of all elements, or
  uint64_t n = 0, m = 0;  // n of every m neighbours in a row
};

// Compressed rows: where each row begins among the columns and values, u16 columns counted from
// the column before them (with zeros between them where the gap is larger), and f16 values.
class SparseForm final : public Form {
 public:
  // begins: rows + 1 of u64; gaps: u16; values: f16, as many as gaps. ErrorKind::kData when they do
  // not agree or a column is beyond the row.
  SparseForm(Shape shape, SparsePattern pattern, Buffer begins, Buffer gaps, Buffer values);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "sparse"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  // Calls f(column, value) for the elements of a row.
  template <class Function>
  void for_each(uint64_t row, Function&& f) const;

  SparsePattern pattern_;
  Buffer begins_, gaps_, values_;
};

}  // namespace pith::form
