// Attention of queries to the keys and values of their own positions and those before.
//
// The softmax is worked off tile by tile with a running maximum (as in FlashAttention, arXiv
// 2205.14135), so that scores never need more room than a tile, however long the text.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/kv/contexts.h"
#include "pith/kv/past.h"

namespace pith::kv {

// The queries that share one key-value head: `group` heads at each position, one after the other.
// "Row" r is the query of head r % group at position first + r / group.
struct SharedHead {
  const float* queries = nullptr;  // of the first position; scaled, and rotated like the keys
  float* out = nullptr;            // laid out as the queries
  uint64_t stride = 0;             // from a position to the next, in both
  uint64_t group = 1, head_size = 0;
  uint64_t first = 0;   // position of the first queries
  uint64_t window = 0;  // positions that a query sees, itself included; 0: all
  const float *keys = nullptr, *values = nullptr;  // of this head, as Cache has them,
  uint64_t base = 0;           // from this position on, a multiple of kTileTokens
  const Past* past = nullptr;  // the positions before, where there are such
  // Of which the rows that are asked for together read at most so many, by whole tiles: the first,
  // and those that promise most to any of the rows.
  uint64_t past_read = UINT64_MAX;
  uint64_t padded_size = 0;  // of a row of values
  Contexts contexts = {};    // of the positions that all queries see
  // Where the weight that each query gives to its own position goes, one for each row, `own_stride`
  // from a position to the next; null: nowhere.
  float* own = nullptr;
  uint64_t own_stride = 0;
};

// Rows begin <= r < end. What a row gives does not depend on the others, where all is read.
void attend(const SharedHead& head, uint64_t begin, uint64_t end);

// What the queries of a position, all rows of it together, give to each token that they see: those
// of `past`, in its order, then those from `base` on to the position. `at` counts positions from
// `first`. Sees no windows
// and no contexts.
void attention_weights(const SharedHead& head, uint64_t at, std::vector<float>& weights);

}  // namespace pith::kv
