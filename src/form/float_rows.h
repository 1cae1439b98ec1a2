// Weighted sums of rows of floats.
#pragma once

#include "float_product.h"
#include "pith/form/form.h"

namespace pith::form {

// out += weights * rows, row after row, each by a fused multiply and add where there is one: the
// same bits whatever the batch and the width of the registers.
void add_float_rows(const FloatRows& rows, const RowSums& sums);

}  // namespace pith::form
