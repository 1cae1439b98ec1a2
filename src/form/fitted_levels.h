// Levels fitted to a tensor.
#pragma once

#include <vector>

#include "uniform.h"

namespace pith::form {

// 2^bits of them, ascending, for elements as shares of the largest of their group: Lloyd's
// iteration over a histogram.
std::vector<float> fitted_levels(const UniformParameters& p, MatrixView matrix);

}  // namespace pith::form
