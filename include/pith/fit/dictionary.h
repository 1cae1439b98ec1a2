// Products of a sparse factor, which takes so many of r patterns for each output, and a dense one,
// which holds the patterns: dictionary learning.
//
// By turns: every row of the weights chooses its patterns by orthogonal matching pursuit (Pati et
// al. 1993) under the metric of the inputs, with the least squares of those chosen so far, and
// patterns become the least squares beside the choices (method of optimal directions: Engan et al.
// 1999). As factors of a layer's weights: DSFormer (Chand et al. 2023).
#pragma once

#include "pith/fit/fitter.h"

namespace pith::fit {

struct DictionaryOptions {
  int rounds = 16;        // of turns, at most
  double damping = 1e-1;  // of the inputs' second moments, as a share of their mean
};

// `sparse(n:r) * rank(r) * F`, or `sparse(share) * rank(r) * F` with that share of the patterns for
// each row; F a form of the r patterns, such as dense(f16) or uniform(8). Begins once with the
// directions of the low rank that is best for the metric, and once with rows of the weights.
// Patterns that no row takes become what the row of most error has left. Nothing is worse than
// form::encode()'s plain fit. Throws ErrorKind::kUsage for other products.
Fitter dictionary_fitter(const form::Expression& expression, const DictionaryOptions& options = {});

}  // namespace pith::fit
