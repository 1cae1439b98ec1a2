// How wide the codes of rows and columns spread.
#pragma once

#include "integer_levels.h"
#include "pith/form/matrix.h"

namespace pith::form {

struct IntegerSpread {
  IntegerClasses classes;
  double widest;  // spread, in steps, of the last class there could be
};

// Element (r, c) is taken for a variable of spread a[r] b[c], in steps of its own: the best a and b
// in quarter octaves.
// `scales` are those of the steps.
IntegerSpread fit_spread(MatrixView weights, const IntegerSteps& steps,
                         const IntegerScales& scales);

}  // namespace pith::form
