// Counting for sequences in which some fifteen values are nearly everything.
#pragma once

#include "pith/entropy/histogram.h"

namespace pith::entropy {

// Adds the counts of a prefix of `symbols` to `counts` and returns its length: 0 where this machine
// or these symbols (by a sample of them) are better counted one by one.
size_t count_few(ByteView symbols, Histogram& counts);

}  // namespace pith::entropy
