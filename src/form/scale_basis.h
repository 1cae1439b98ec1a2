// Columns in units of their own: large channels become small before a quantizer sees them.
#pragma once

#include "basis.h"

namespace pith::form {

class ScaleBasis final : public Basis {
 public:
  // One finite scale other than zero for each column, as f16.
  ScaleBasis(std::vector<float> scales);

  std::string_view kind() const override { return "scale"; }
  Expression expression() const override { return Expression::call("scale"); }
  void write_body(BodyWriter& to) const override;
  void forward(float* x) const override;
  void back(float* row) const override { forward(row); }
  void change(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  // scale(by=rms, power=100%): the root mean square of each column, or its largest size (`max`), to
  // this power. Only the scales are kept of it.
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  std::vector<float> scales_;
};

}  // namespace pith::form
