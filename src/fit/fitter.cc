#include "pith/fit/fitter.h"

#include <cmath>

#include "pith/base/error.h"

namespace pith::fit {

double error(const Task& task, form::MatrixView decoded) {
  if (!task.outputs.empty() && task.outputs.size() != task.weights.shape.rows) {
    fail(ErrorKind::kUsage, "{}: importances of {} rows for a matrix of {}", task.name,
         task.outputs.size(), task.weights.shape.rows);
  }
  const auto rows = row_errors(task.inputs, task.weights, decoded, task.threads);
  double sum = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    sum += rows[r] * (task.outputs.empty() ? 1 : task.outputs[r]);
  }
  return sum;
}

Fitted measured(const Task& task, form::FormPtr form) {
  const double e = error(task, form::decode(*form).view());
  return {std::move(form), e};
}

Fitted better(Fitted a, Fitted b) { return b.error < a.error ? std::move(b) : std::move(a); }

void require_finite(const Task& task) {
  const form::Shape shape = task.weights.shape;
  for (uint64_t i = 0; i < shape.size(); ++i) {
    if (!std::isfinite(task.weights.data[i])) {
      fail(ErrorKind::kData, "{}: row {}, column {} is {}", task.name, i / shape.cols,
           i % shape.cols, task.weights.data[i]);
    }
  }
}

}  // namespace pith::fit
