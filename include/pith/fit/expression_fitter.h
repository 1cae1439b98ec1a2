// Any form, fitted as well as Pith can: codes with error feedback where its kind allows that,
// nearest numbers where not.
#pragma once

#include "pith/fit/fitter.h"
#include "pith/form/expression.h"

namespace pith::fit {

// uniform(…) and with a coder, uniform(…) + sparse(share), ggml(…) of the types that GgmlFit knows,
// codebook(…) and lattice(…), behind a basis or none: error feedback, or the nearest codes where
// these have less error. integer(bits=…) > rans: water filling with the step that gives so many
// bits. Others: form::encode(). Weights with the same inputs are best fitted one after the other,
// from one thread.
Fitter expression_fitter(const form::Expression& expression);

}  // namespace pith::fit
