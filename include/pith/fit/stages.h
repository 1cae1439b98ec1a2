// Ways to make a matrix smaller that come one after the other, each working on what the one before
// it left: codes, factors of a low rank, a mask, in any order.
//
//   const Fitter fitter = in_stages({{StageKind::kMask, 0.5}, {StageKind::kCodes, 4}});
//
// gives `sparse(50%, values=uniform(4, group=32))` of what is kept; the other way round the codes
// are chosen first, for all elements, and what is kept of them stays near its code. Factors take
// the place of what is there: what codes or a mask have lost stays lost, but nothing is stored as
// codes or with a mask unless a later stage makes it so.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/fit/fitter.h"

namespace pith::fit {

enum class StageKind : uint8_t { kCodes, kRank, kMask };

struct Stage {
  StageKind kind = StageKind::kCodes;
  double size = 0;  // bits of a code, 1 to 8; elements of factors and elements kept, as a share
                    // above 0 and at most 1
};

struct StageOptions {
  bool feedback = true;  // of codes of a whole matrix; else the nearest
  uint64_t block = 1;    // elements of a row that a mask keeps together; divides rows
};

// Codes: `uniform(bits, group=32)`, of the whole matrix with error feedback, of factors and of what
// a mask keeps the nearest. Factors: the best by the metric. Masks: what the outputs miss least by
// the inputs' importance; what is kept makes up for the rest, but where codes were chosen before.
// Of numbers without codes f16. Throws ErrorKind::kUsage for no stage, two of a kind, and sizes
// that cannot be.
Fitter in_stages(std::vector<Stage> stages, const StageOptions& options = {});

}  // namespace pith::fit
