// The entries of a codebook of least error beside codes and scales.
#pragma once

#include <span>
#include <vector>

#include "curvature.h"
#include "pith/form/vector_fit.h"

namespace pith::fit {

// By conjugate gradients, for so many rows that each entry is in many elements. importance: of each
// row; empty: all alike.
void refit_entries(const Curvature& h, form::MatrixView weights, std::span<const double> importance,
                   int threads, form::VectorFit& fit);

}  // namespace pith::fit
