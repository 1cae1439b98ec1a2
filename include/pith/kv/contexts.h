// Stretches of tokens that stand side by side in a cache: each was read without the others, and
// what follows sees them all (APE: Yang et al. 2025).
#pragma once

#include <cstdint>

namespace pith::kv {

// Tokens begin <= t < end. Of all that a query gives them together, the exponential of the
// log-sum-exp of their scores, it gives this power: below 1, less the more there are of them.
struct Contexts {
  uint64_t begin = 0, end = 0;
  float scale = 1;

  bool any() const { return begin < end; }
};

}  // namespace pith::kv
