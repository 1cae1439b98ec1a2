#include "scale_basis.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pith/base/dtype.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"

namespace pith::form {
namespace {

std::vector<double> root_mean_squares(MatrixView matrix) {
  std::vector<double> sizes(matrix.shape.cols);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    const auto row = matrix.row(r);
    for (size_t c = 0; c < sizes.size(); ++c) sizes[c] += double{row[c]} * row[c];
  }
  for (double& s : sizes) s = std::sqrt(s / static_cast<double>(matrix.shape.rows));
  return sizes;
}

std::vector<double> largest_sizes(MatrixView matrix) {
  std::vector<double> sizes(matrix.shape.cols);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    const auto row = matrix.row(r);
    for (size_t c = 0; c < sizes.size(); ++c)
      sizes[c] = std::max(sizes[c], std::fabs(double{row[c]}));
  }
  return sizes;
}

}  // namespace

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
  const Arguments args(call, {"by", "power"});
  constexpr std::array<std::string_view, 2> kBy = {"rms", "max"};
  const bool largest = args.choice("by", kBy, 0) == 1;
  const double power = args.fraction("power", 1);
  std::vector<float> scales;
  for (const double size : largest ? largest_sizes(matrix) : root_mean_squares(matrix)) {
    const float scale =
        rounded_scale(static_cast<float>(power == 1 ? size : std::pow(size, power)), DType::kF16);
    scales.push_back(std::isfinite(scale) && scale > 0 ? scale : 1.0f);
  }
  return std::make_shared<ScaleBasis>(std::move(scales));
}

}  // namespace pith::form
