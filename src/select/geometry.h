// Lengths and angles of items' vectors.
#pragma once

#include <span>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::select {

float dot(std::span<const float> a, std::span<const float> b);
float squared_distance(std::span<const float> a, std::span<const float> b);
// Throws ErrorKind::kData with the row of the first number that is not finite.
void require_finite(form::MatrixView rows);
// The Euclidean length of each row, which must be finite.
std::vector<float> lengths(form::MatrixView rows);
// Rows of length 1; zeros stay.
form::Matrix unit_rows(form::MatrixView rows);

}  // namespace pith::select
