// Which layout a block gets: decided by looking at the data.
#pragma once

#include "block.h"

namespace pith::lossless {

struct Choice {
  BlockKind kind = BlockKind::kRaw;
  int width = 1;             // of planes, sparse and dictionary elements
  bool rotate = false;       // of planes
  DType dtype = DType::kU8;  // what the elements are taken for (guessed when it was unknown)
  double bits = 8;           // estimated, for each byte of raw
  int head = 0;              // bytes before the first element, of data of unknown structure
};

// The layout with the smallest estimate on a sample of `raw`. Records are chosen by type alone.
// Without `price`, a choice that is clear at a glance says nothing of its bits.
Choice choose(ByteView raw, const Content& content, Level level, bool price);

}  // namespace pith::lossless
