// Pruning by the curvature G ⊗ A of a linear layer: G the second moments of the gradients at its
// outputs, A those of its inputs, so that an error E of the weights costs about tr(G E A Eᵀ) / 2
// (K-FAC: Martens and Grosse 2015; for pruning: the LLM Surgeon, van der Ouderaa et al. 2024).
#pragma once

#include <functional>

#include "pith/fit/fitter.h"

namespace pith::fit {

// tr(G E A Eᵀ) of E = matrix - decoded, in float64; outputs as the metric of the rows.
double kronecker_error(const Metric& outputs, const Metric& inputs, form::MatrixView matrix,
                       form::MatrixView decoded, int threads = 0);

// What the loss grows by if one row, column or element is removed and all others make up for it.
struct RemovalCosts {
  std::vector<double> rows;                         // w_r A w_rᵀ / (2 [G⁻¹]_rr)
  std::vector<double> columns;                      // w_cᵀ G w_c / (2 [A⁻¹]_cc)
  std::vector<double> row_inverse, column_inverse;  // [G⁻¹]_rr and [A⁻¹]_cc
  // w² / (2 [G⁻¹]_rr [A⁻¹]_cc)
  double element(form::MatrixView weights, uint64_t row, uint64_t column) const;
};

struct KroneckerOptions {
  double damping = 1e-2;  // of both, as a share of their mean
  int shots = 1;          // rows and columns go in so many parts, with costs anew in between
  bool update = true;     // what is left makes up for what goes
};

RemovalCosts removal_costs(const Task& task, const Metric& outputs,
                           const KroneckerOptions& options = {});

// Gives the full second moments of a tensor's output gradients. Empty: Task::output_moments.
using OutputMoments = std::function<Metric(const Task&)>;

// `sparse(share, pattern=rows)`, `pattern=columns`, single elements or n:m. The error of what it
// fits is kronecker_error(). Throws ErrorKind::kUsage for other expressions, and where nothing is
// known of outputs.
Fitter kronecker_fitter(const form::Expression& expression, OutputMoments outputs = {},
                        const KroneckerOptions& options = {});

}  // namespace pith::fit
