#include "pith/fit/water_filling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "pith/base/error.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// Shares of outputs' importance, some of it the same for all.
std::vector<double> outputs_of(const Task& task, double alike) {
  const uint64_t rows = task.weights.shape.rows;
  if (task.outputs.empty()) return std::vector<double>(rows, 1.0);
  if (task.outputs.size() != rows) {
    fail(ErrorKind::kUsage, "importances of {} rows for a matrix of {}", task.outputs.size(), rows);
  }
  std::vector<double> out(task.outputs.begin(), task.outputs.end());
  const double mean = std::accumulate(out.begin(), out.end(), 0.0) / static_cast<double>(rows);
  if (!(mean > 0)) return std::vector<double>(rows, 1.0);
  for (double& v : out) v += alike * (mean - v);
  return out;
}

}  // namespace

struct WaterFilling::Inputs {
  Metric metric;
  std::optional<ErrorFeedback> feedback;
  std::vector<float> moments;  // of second moments: the matrix

  bool are(const Metric& other) const {
    return metric.kind() == other.kind() && metric.columns() == other.columns() &&
           metric.matrix().data() == other.matrix().data() &&
           metric.kind() == Metric::Kind::kSecondMoments;
  }

  // w A, a row for each of w.
  Matrix times(MatrixView w, int threads) const {
    Matrix out(w.shape);
    if (metric.kind() == Metric::Kind::kSecondMoments) {
      math::matrix_product(math::row_major(w.data, w.shape.rows, w.shape.cols),
                           math::row_major(moments.data(), w.shape.cols, w.shape.cols),
                           out.values.data(), w.shape.cols, math::ProductInto::kReplace, threads);
      return out;
    }
    for (uint64_t r = 0; r < w.shape.rows; ++r) {
      for (uint64_t c = 0; c < w.shape.cols; ++c) {
        out.row(r)[c] = w.row(r)[c] * static_cast<float>(metric.importance(c));
      }
    }
    return out;
  }
};

WaterFilling::WaterFilling(WaterFillingOptions options) : options_(std::move(options)) {}
WaterFilling::~WaterFilling() = default;
WaterFilling::WaterFilling(WaterFilling&&) noexcept = default;

const WaterFilling::Inputs& WaterFilling::inputs_of(const Task& task) {
  task.inputs.require(task.weights.shape);
  if (inputs_ && inputs_->are(task.inputs)) return *inputs_;
  inputs_ = std::make_unique<Inputs>();
  inputs_->metric = task.inputs;
  inputs_->feedback.emplace(task.inputs,
                            FeedbackOptions{.damping = options_.damping, .threads = task.threads});
  const auto matrix = task.inputs.matrix();
  inputs_->moments.assign(matrix.begin(), matrix.end());
  return *inputs_;
}

double WaterFilling::step_for(const Task& task, double bits) {
  const Inputs& inputs = inputs_of(task);
  const std::vector<double> outputs = outputs_of(task, options_.alike);
  const form::IntegerSteps steps = inputs.feedback->steps(task.weights.shape, 1, outputs);
  double octaves = 0;  // of what is rounded, in steps
  uint64_t rows = 0;
  for (uint64_t r = 0; r < task.weights.shape.rows; ++r) {
    double squares = 0;
    for (uint64_t c = 0; c < task.weights.shape.cols; ++c) {
      const double scaled = task.weights.row(r)[c] * std::exp2(-steps.columns[c] / 4.0);
      squares += scaled * scaled;
    }
    if (!(squares > 0) || std::isinf(squares)) continue;
    octaves += 0.5 * std::log2(squares / static_cast<double>(task.weights.shape.cols)) -
               std::log2(steps.step) - steps.rows[r] / 4.0;
    ++rows;
  }
  if (rows == 0) return 1;
  // The entropy of a normal variable of deviation s in steps of 1: log2(s) + log2(2 pi e) / 2.
  constexpr double kNormal = 2.0471;
  return std::exp2(octaves / static_cast<double>(rows) + kNormal - bits);
}

Fitted WaterFilling::operator()(const Task& task) {
  const form::Shape shape = task.weights.shape;
  const Inputs& inputs = inputs_of(task);
  std::vector<double> outputs = outputs_of(task, options_.alike);
  const Matrix product = inputs.times(task.weights, task.threads);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    const double gives = dot(product.view().row(r), task.weights.row(r));
    const double expected = options_.step * options_.step / 12 * static_cast<double>(shape.cols);
    if (gives > 0) outputs[r] = std::max(outputs[r], expected / (options_.worst_noise * gives));
  }
  const ErrorFeedback& feedback = *inputs.feedback;
  auto [form, error] = feedback.encode(options_.expression, task.weights,
                                       feedback.steps(shape, options_.step, outputs),
                                       options_.lambda, outputs, product.view());
  return {std::move(form), error};
}

}  // namespace pith::fit
