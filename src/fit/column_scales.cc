#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/half.h"
#include "pith/fit/quantizers.h"
#include "pith/form/compose.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;

// Beyond these f16 is coarse or ends.
constexpr double kMostScale = 0x1p12;

// Rows that stand for all, at equal distances.
Matrix sample(MatrixView weights, uint64_t most) {
  const uint64_t rows = std::min(weights.shape.rows, most);
  Matrix some({rows, weights.shape.cols});
  for (uint64_t r = 0; r < rows; ++r) {
    const auto from = weights.row(r * weights.shape.rows / rows);
    std::copy(from.begin(), from.end(), some.row(r).begin());
  }
  return some;
}

std::vector<double> sample(std::span<const double> outputs, uint64_t all, uint64_t most) {
  std::vector<double> some;
  const uint64_t rows = std::min(all, most);
  for (uint64_t r = 0; r < rows && !outputs.empty(); ++r) some.push_back(outputs[r * all / rows]);
  return some;
}

Fitted fit_scaled(const Fitter& fitter, const Task& task, std::span<const float> scales) {
  Matrix divided(task.weights.shape);
  for (uint64_t r = 0; r < divided.shape.rows; ++r) {
    for (uint64_t c = 0; c < divided.shape.cols; ++c) {
      divided.row(r)[c] = task.weights.row(r)[c] / scales[c];
    }
  }
  const Metric inputs = with_scaled_columns(task.inputs, scales);
  Task inner{task.name, divided.view(), inputs, task.outputs, task.threads};
  Fitted fitted = fitter(inner);
  fitted.form = form::scaled_columns({scales.begin(), scales.end()}, fitted.form);
  return fitted;
}

}  // namespace

std::vector<float> column_scales(const Metric& inputs, uint64_t columns, double exponent) {
  // Sizes are roots of importances.
  double logs = 0;
  uint64_t known = 0;
  for (uint64_t c = 0; c < columns; ++c) {
    if (!(inputs.importance(c) > 0)) continue;
    logs += std::log(inputs.importance(c));
    ++known;
  }
  const double middle = known > 0 ? logs / static_cast<double>(known) : 0;
  std::vector<float> scales(columns, 1.0f);
  for (uint64_t c = 0; c < columns; ++c) {
    if (!(inputs.importance(c) > 0)) continue;
    const double grown = std::exp((std::log(inputs.importance(c)) - middle) / 2 * exponent);
    const auto scale = static_cast<float>(1 / std::clamp(grown, 1 / kMostScale, kMostScale));
    scales[c] = float_from_f16(f16_from_float(scale));
  }
  return scales;
}

Metric with_scaled_columns(const Metric& inputs, std::span<const float> scales) {
  const uint64_t n = scales.size();
  if (inputs.kind() != Metric::Kind::kSecondMoments) {
    std::vector<double> importance(n);
    for (uint64_t c = 0; c < n; ++c) {
      importance[c] = inputs.importance(c) * scales[c] * scales[c];
    }
    return Metric::diagonal(std::move(importance));
  }
  std::vector<double> matrix(inputs.matrix().begin(), inputs.matrix().end());
  for (uint64_t r = 0; r < n; ++r) {
    // The product of both first, so that the matrix stays symmetric.
    for (uint64_t c = 0; c < n; ++c) matrix[r * n + c] *= double{scales[r]} * scales[c];
  }
  return Metric::second_moments(n, std::move(matrix));
}

Fitter column_scaled(Fitter trial, Fitter fitter, const ColumnScaleOptions& options) {
  if (options.steps < 1 || options.rows < 1)
    fail(ErrorKind::kUsage, "column scales: at least one step and one row");
  return [trial = std::move(trial), fitter = std::move(fitter), options](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    const Matrix some = sample(task.weights, options.rows);
    const auto outputs = sample(task.outputs, task.weights.shape.rows, options.rows);
    const Task small{task.name, some.view(), task.inputs, outputs, task.threads};
    double least = trial(small).error;
    std::vector<float> best;
    for (int i = 1; i <= options.steps; ++i) {
      auto scales = column_scales(task.inputs, task.weights.shape.cols,
                                  static_cast<double>(i) / options.steps);
      const double error = fit_scaled(trial, small, scales).error;
      if (error >= least) continue;
      least = error;
      best = std::move(scales);
    }
    Fitted plain = fitter(task);
    return best.empty() ? plain : better(std::move(plain), fit_scaled(fitter, task, best));
  };
}

}  // namespace pith::fit
