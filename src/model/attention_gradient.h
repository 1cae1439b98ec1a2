// The gradient of attention, the scores made again from queries and keys as in FlashAttention's
// backward pass (arXiv 2205.14135): memory grows with the length of a text, not with its square.
#pragma once

#include <cstdint>

namespace pith::model {

// One text and one key-value head with the `group` query heads that share it, one after the other.
// A row for each position from 0 on; all of queries have one stride, all of keys and values
// another.
struct HeadGradient {
  uint64_t positions = 0, group = 1, head_size = 0;
  uint64_t window = 0;  // positions that a query sees; 0: all
  const float *queries = nullptr, *out = nullptr, *d_out = nullptr;  // queries scaled and rotated
  uint64_t query_stride = 0;
  const float *keys = nullptr, *values = nullptr;
  uint64_t key_stride = 0;
  float* d_queries = nullptr;
  float *d_keys = nullptr, *d_values = nullptr;  // to which gradients are added
};

void attention_gradient(const HeadGradient& head);

}  // namespace pith::model
