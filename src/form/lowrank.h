// A narrow matrix times a wide one: the directions in which a matrix is largest.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

class LowRankForm final : public Form {
 public:
  // left: rows x rank, right: rank x cols. ErrorKind::kUsage when they do not meet.
  LowRankForm(FormPtr left, FormPtr right);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "lowrank"; }
  void write_body(BodyWriter& to) const override;

  uint64_t rank() const { return left_->shape().cols; }

  static FormPtr read(Shape shape, BodyReader& in);
  // The truncated singular value decomposition, the singular values' roots on both sides.
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  FormPtr left_, right_;
};

}  // namespace pith::form
