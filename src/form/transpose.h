// transpose(form): the columns of another form as rows.
#pragma once

#include "pith/form/form.h"
#include "uneven_rows.h"

namespace pith::form {

class TransposeForm final : public Form, public UnevenRows {
 public:
  explicit TransposeForm(FormPtr inner);

  const Form& inner() const { return *inner_; }

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  // All rows at once: each run would read all of the other form.
  uint64_t part_begin(const Activations& x, uint64_t part, uint64_t parts) const override;
  std::string_view kind() const override { return "transpose"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  FormPtr inner_;
};

}  // namespace pith::form
