#include <algorithm>
#include <cmath>

#include "pith/base/half.h"
#include "pith/fit/quantizers.h"
#include "pith/form/compose.h"

namespace pith::fit {
namespace {

constexpr double kMostScale = 1024;

std::vector<double> column_sizes(form::MatrixView w) {
  std::vector<double> sizes(w.shape.cols);
  for (uint64_t r = 0; r < w.shape.rows; ++r) {
    for (uint64_t c = 0; c < w.shape.cols; ++c) sizes[c] += double{w.row(r)[c]} * w.row(r)[c];
  }
  for (double& s : sizes) s = std::sqrt(s);
  return sizes;
}

// Around a geometric mean of 1, as f16; of columns of zeros 1.
std::vector<float> scales_of(const std::vector<double>& sizes) {
  double logs = 0, known = 0;
  for (const double s : sizes) {
    if (!(s > 0)) continue;
    logs += std::log(s);
    ++known;
  }
  std::vector<float> scales(sizes.size(), 1.0f);
  for (size_t c = 0; c < sizes.size(); ++c) {
    if (!(sizes[c] > 0)) continue;
    const double own = std::exp(std::log(sizes[c]) - logs / known);
    const auto scale = static_cast<float>(std::clamp(own, 1 / kMostScale, kMostScale));
    scales[c] = float_from_f16(f16_from_float(scale));
  }
  return scales;
}

}  // namespace

Fitter column_normalized(Fitter fitter, bool normalized) {
  return [fitter = std::move(fitter), normalized](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    const form::Shape shape = task.weights.shape;
    const std::vector<float> scales = scales_of(column_sizes(task.weights));
    form::Matrix normal(shape);
    std::vector<double> rows(shape.rows), importance;
    for (uint64_t r = 0; r < shape.rows; ++r) {
      double square = 0;
      for (uint64_t c = 0; c < shape.cols; ++c) {
        const float v = normal.row(r)[c] = task.weights.row(r)[c] / scales[c];
        square += double{v} * v;
      }
      rows[r] = square > 0 ? static_cast<double>(shape.cols) / square : 0;
    }
    for (uint64_t c = 0; c < shape.cols; ++c) importance.push_back(task.inputs.importance(c));
    const Metric plain = Metric::diagonal(std::move(importance));
    const Metric inputs = normalized ? plain : with_scaled_columns(plain, scales);
    const std::span<const double> outputs = normalized ? rows : task.outputs;
    const Fitted inner = fitter({task.name, normal.view(), inputs, outputs, task.threads});
    return measured(task, form::scaled_columns(scales, inner.form));
  };
}

}  // namespace pith::fit
