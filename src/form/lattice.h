// Lattices without a stored codebook: which of them a form is made of.
#pragma once

#include <vector>

#include "group_scales.h"
#include "tiled_form.h"

namespace pith::form {

inline constexpr ScaleGroups kLatticeScales{ScaleGroups::kRow};

// `lattice(e8, …)` and `lattice(pyramid, …)`: the first argument and, stored, a number say which.
inline constexpr uint64_t kStoredE8 = 0, kStoredPyramid = 1;
FormPtr read_lattice(Shape shape, BodyReader& in);
FormPtr encode_lattice(const Expression& call, MatrixView matrix);

// Every group has a scale: its codes mean nothing without.
ScaleGroups lattice_scales(const Arguments& args);
ScaleGroups read_lattice_scales(BodyReader& in);

}  // namespace pith::form
