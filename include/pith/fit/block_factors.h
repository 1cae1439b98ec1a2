// A sparse matrix between blocks on diagonals, all fitted by turns under a metric: W = A S B, where
// A mixes neighbouring outputs, B neighbouring inputs, and S keeps n of every m (ARMOR).
#pragma once

#include "pith/fit/fitter.h"

namespace pith::fit {

struct BlockFactorOptions {
  int rounds = 12;        // of turns, at most
  double damping = 1e-2;  // of the inputs' second moments, as a share of their mean
};

// `blockdiag(...) * sparse(...) * blockdiag(...)`, one of the outer two or both. Begins with
// identities around the better of two masks (masks.h: Wanda, NoWag). Then each turn is least
// squares of one factor beside the others: A, the blocks of B one after the other, and S group by
// group; for n:m a group of S gets the best of all its masks with the best values. So the loss of
// no turn rises, up to the rounding of stored values, and none is worse than the mask alone or
// form::encode(). Throws ErrorKind::kUsage for other products.
Fitter block_factor_fitter(const form::Expression& expression,
                           const BlockFactorOptions& options = {});

}  // namespace pith::fit
