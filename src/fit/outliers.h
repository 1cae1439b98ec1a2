// Elements that are better stored beside a quantized matrix than in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/uniform_fit.h"

namespace pith::fit {

// A byte for each element, row-major, 1 for the `count` of which leaving them out lowers the error
// most: their own, and what their group's scale costs the others (SpQR: Dettmers et al. 2023).
// importance: of each column. threads: the result is the same.
std::vector<uint8_t> outliers(const form::UniformFit& fit, form::MatrixView weights,
                              std::span<const double> importance, uint64_t count, int threads);

}  // namespace pith::fit
