// What codewords behind a lift are fitted and expected by.
#pragma once

#include <span>
#include <vector>

#include "pith/fit/lifted_codebook.h"
#include "pith/math/eigen.h"

namespace pith::fit {

// Throws ErrorKind::kUsage for a shape that cannot be, or does not fit the matrix.
void require_lift(const LiftedShape& shape, form::Shape matrix);

// The importance of columns, 1 on the mean.
std::vector<double> lift_importance(const Task& task);

// Eigenvalues and directions of the runs, each by the mean importance of its columns.
math::SymmetricEigen principal_runs(const Task& task, std::span<const double> importance,
                                    uint64_t length);

}  // namespace pith::fit
