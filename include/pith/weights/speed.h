// How fast products with a form are on this machine.
#pragma once

#include "pith/form/expression.h"

namespace pith::weights {

// Nanoseconds that a weight takes when one vector is multiplied with a matrix in this form that no
// cache of a core holds: the fastest of some tries. Takes about a second. threads: as
// thread_count().
double nanoseconds_per_weight(const form::Expression& expression, int threads = 0);

}  // namespace pith::weights
