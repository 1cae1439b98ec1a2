// Products of a dense factor and one of any sparse form, fitted by turns under a metric.
#pragma once

#include "pith/fit/fitter.h"

namespace pith::fit {

struct FactorOptions {
  int rounds = 6;         // of turns, at most
  double damping = 1e-2;  // of both factors' problems, as a share of their mean
};

// `dense(type) * rank(r) * sparse(...)`; without rank(r) they meet in min(rows, columns)
// coordinates. Begins with the low rank that is best for the metric (low_rank.h); then the right
// factor gets what the curvature Lᵀ L ⊗ A of its elements keeps (kronecker_removal.h), and the left
// one its least squares, as long as the error falls. Nothing is worse than form::encode()'s plain
// fit. Throws ErrorKind::kUsage for other products.
Fitter factor_fitter(const form::Expression& expression, const FactorOptions& options = {});

}  // namespace pith::fit
