// Keys and values made up. Test-only.
#pragma once

#include "pith/kv/arrays.h"

namespace pith::kv::testing {

// Of three layers, one without heads, of channels that vary by about 1; sizes that no vector
// divides.
Arrays made(uint64_t tokens, uint64_t seed = 1);
// The same, but what all heads hold comes from so few numbers of each token, and a little noise.
Arrays made_alike(uint64_t tokens, uint64_t numbers, uint64_t seed = 1);
double squared_error(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace pith::kv::testing
