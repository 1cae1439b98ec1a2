// The keys and values of a stretch of tokens, of all layers and heads: what leaves a session and
// comes back into one.
#pragma once

#include <cstdint>
#include <vector>

namespace pith::kv {

struct Arrays {
  std::vector<uint64_t> heads = {};  // of keys and values in each layer; 0 where it has none
  uint64_t first = 0, tokens = 0;    // the position of the first token, and how many there are
  uint64_t head_size = 0;
  // [head of the first layer, of the second, …][token][channel]; keys rotated by their positions.
  std::vector<float> keys = {}, values = {};

  uint64_t all_heads() const {
    uint64_t sum = 0;
    for (const uint64_t h : heads) sum += h;
    return sum;
  }
  // Of keys and of values.
  uint64_t size() const { return all_heads() * tokens * head_size; }
  bool operator==(const Arrays&) const = default;
};

}  // namespace pith::kv
