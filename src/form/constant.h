// Every element the same.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// constant: the mean. constant(v): v. zeros: 0.
class ConstantForm final : public Form {
 public:
  enum class Spelling : uint8_t { kMean, kGiven, kZeros };
  // value: finite as a float.
  ConstantForm(Shape shape, Spelling spelling, double value);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override { return {true, true}; }
  std::string_view kind() const override { return "constant"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);
  static FormPtr encode_zeros(const Expression& call, MatrixView matrix);

 private:
  Spelling spelling_;
  double value_;
};

}  // namespace pith::form
