#include <algorithm>

#include "pith/fit/quantizers.h"
#include "pith/form/compose.h"

namespace pith::fit {
namespace {

// E[Qx (Qx)ᵀ]: the basis on both sides.
Metric with_basis(const Metric& inputs, const form::BasisFit& basis) {
  if (inputs.kind() == Metric::Kind::kSquared) return inputs;
  const uint64_t n = inputs.columns();
  form::Matrix moments({n, n});
  if (inputs.kind() == Metric::Kind::kSecondMoments) {
    std::ranges::transform(inputs.matrix(), moments.values.begin(),
                           [](double v) { return static_cast<float>(v); });
  } else {
    for (uint64_t c = 0; c < n; ++c) moments.row(c)[c] = static_cast<float>(inputs.importance(c));
  }
  const form::Matrix once = basis.forward(moments.view());
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < n; ++c) moments.row(r)[c] = once.values[c * n + r];
  }
  const form::Matrix twice = basis.forward(moments.view());
  std::vector<double> sums(n * n);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < n; ++c) {
      sums[r * n + c] = (double{twice.values[r * n + c]} + twice.values[c * n + r]) / 2;
    }
    // Rounding may leave less than nothing of what is nothing.
    sums[r * n + r] = std::max(sums[r * n + r], 0.0);
  }
  return Metric::second_moments(n, std::move(sums));
}

}  // namespace

Fitter in_basis(const form::Expression& basis, Fitter fitter) {
  return [basis, fitter = std::move(fitter)](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    const form::BasisFit fit(basis, task.weights);
    const form::Matrix changed = fit.change(task.weights);
    const Metric inputs = with_basis(task.inputs, fit);
    const Fitted inner = fitter({task.name, changed.view(), inputs, task.outputs, task.threads});
    return measured(task, fit.form(inner.form));
  };
}

}  // namespace pith::fit
