// Matrices of which whole rows, or columns, are zero.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// Forms that hold the rows (columns) that are not zero, in `values`; all of them as `values` alone.
FormPtr kept_rows(const Matrix& matrix, const Expression& values);
FormPtr kept_columns(const Matrix& matrix, const Expression& values);

}  // namespace pith::form
