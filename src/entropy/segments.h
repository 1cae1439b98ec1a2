// Where a static coder starts a new table: neighbouring units of a stream are put together while
// one table for both costs fewer bits than a second table.
#pragma once

#include <vector>

#include "pith/entropy/histogram.h"

namespace pith::entropy {

struct SegmentCounts {
  size_t units = 0;
  Histogram counts;  // of the whole segment
};

struct TableCost {
  uint32_t fixed, per_symbol;  // bits: of any table, and of each symbol that occurs
};

// Segments of `symbols` (not empty; at most 2^31), the last unit perhaps shorter than `unit`
// symbols.
std::vector<SegmentCounts> split_segments(ByteView symbols, size_t unit, TableCost cost);

}  // namespace pith::entropy
