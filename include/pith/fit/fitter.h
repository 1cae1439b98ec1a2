// What every way to fit a form to a weight matrix takes and gives, so that a method is a function
// and whoever walks over a model need not know which.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "pith/fit/metric.h"
#include "pith/form/form.h"

namespace pith::fit {

class BlockCurvature;

struct Task {
  std::string_view name;     // of the tensor
  form::MatrixView weights;  // outputs x inputs
  // Of the inputs: second moments for a token, or less where nothing is known.
  const Metric& inputs;
  // What an error of each output matters: the second moment of the loss's gradient there, for a
  // token, so that the divergence to expect of errors E is about half the sum over rows r of
  // outputs[r] E_r A E_rᵀ, A the inputs' second moments. Empty: nothing is known, all alike.
  std::span<const double> outputs = {};
  int threads = 0;  // as thread_count(); results do not depend on it
  // What only some methods ask for; null: not known. The full second moments of the gradient at the
  // outputs, whose diagonal `outputs` is; and the curvature that gradients of samples give, for a
  // token (block_curvature.h).
  const Metric* output_moments = nullptr;
  const BlockCurvature* curvature = nullptr;
};

struct Fitted {
  form::FormPtr form;
  double error = 0;  // by the metric, with outputs' importance
};

// Throws ErrorKind::kUsage where it does not fit matrices like this one, kData for elements that
// the form cannot hold.
using Fitter = std::function<Fitted(const Task&)>;

// By the metric, with outputs' importance.
double error(const Task& task, form::MatrixView decoded);
// The form with this error.
Fitted measured(const Task& task, form::FormPtr form);
// Of less error; of equals the first.
Fitted better(Fitted a, Fitted b);
// Throws ErrorKind::kData with the tensor and the place of the first NaN or infinity.
void require_finite(const Task& task);

}  // namespace pith::fit
