// Stretches of a sequence whose items attend to each other: triangles of much attention below the
// diagonal of a local attention map (Ltri-LLM: Tang et al. 2024).
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::select {

struct SpanOptions {
  uint64_t least = 8, most = 64;  // items of a span
};

// The last items of the spans that the sequence falls into, rising, ending with the last item. map:
// n x n weights, not negative, that each item gives to those before it and itself; what is above
// the diagonal is not looked at. Every stretch of `least` to `most` items is a candidate, by how
// much denser its triangle is than the square before it, in standard deviations of as many weights
// of the map; none may overlap one that is better (non-maximum suppression). What no span has is
// cut so that no piece is longer than `most`. Throws ErrorKind::kUsage for a map that is not square
// or options that make no sense, kData for weights that are negative or not finite.
std::vector<uint32_t> span_ends(form::MatrixView map, const SpanOptions& options = {});

}  // namespace pith::select
