// Forms added up: each holds what those before it left.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

class SumForm final : public Form {
 public:
  // At least two terms of one shape, none of them a sum; ErrorKind::kUsage otherwise.
  explicit SumForm(std::vector<FormPtr> terms);

  const std::vector<FormPtr>& terms() const { return terms_; }

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override;
  void fetch_parts() const override {
    for (const FormPtr& f : terms_) f->fetch_parts();
  }
  void fetch() const override {
    for (const FormPtr& f : terms_) f->fetch();
  }
  std::string_view kind() const override { return "sum"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& sum, MatrixView matrix);

 private:
  std::vector<FormPtr> terms_;
};

}  // namespace pith::form
