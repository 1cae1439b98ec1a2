#include "scale_basis.h"

#include <cmath>

#include "pith/base/dtype.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"

namespace pith::form {

ScaleBasis::ScaleBasis(std::vector<float> scales)
    : Basis(scales.size()), scales_(std::move(scales)) {}

void ScaleBasis::write_body(BodyWriter& to) const {
  Bytes stored;
  for (const float s : scales_) append_float(s, DType::kF16, stored);
  to.array(stored);
}

void ScaleBasis::forward(float* x) const {
  for (size_t i = 0; i < scales_.size(); ++i) x[i] *= scales_[i];
}

void ScaleBasis::change(float* row) const {
  for (size_t i = 0; i < scales_.size(); ++i) row[i] /= scales_[i];
}

BasisPtr ScaleBasis::read(uint64_t size, BodyReader& in) {
  const Buffer stored = in.array(2 * size);
  std::vector<float> scales(size);
  for (uint64_t i = 0; i < size; ++i) {
    scales[i] = load_float(stored.data(), i, DType::kF16);
    if (!std::isfinite(scales[i]) || scales[i] == 0) in.bad("a scale that is zero or not finite");
  }
  return std::make_shared<ScaleBasis>(std::move(scales));
}

BasisPtr ScaleBasis::make(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {});
  std::vector<double> squares(matrix.shape.cols);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    const auto row = matrix.row(r);
    for (size_t c = 0; c < squares.size(); ++c) squares[c] += double{row[c]} * row[c];
  }
  std::vector<float> scales;
  for (const double s : squares) {
    const float rms = rounded_scale(
        static_cast<float>(std::sqrt(s / static_cast<double>(matrix.shape.rows))), DType::kF16);
    scales.push_back(std::isfinite(rms) && rms > 0 ? rms : 1.0f);
  }
  return std::make_shared<ScaleBasis>(std::move(scales));
}

}  // namespace pith::form
