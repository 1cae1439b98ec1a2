// Keys and values for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/base/random.h"

namespace pith::kv::testing {

constexpr uint64_t kSize = 12, kCapacity = 2000;

// Normal, but for the first channel, which is left to the test.
inline std::vector<float> row(uint64_t seed, uint64_t position) {
  std::vector<float> out(kSize);
  for (uint64_t i = 1; i < kSize; ++i)
    out[i] = static_cast<float>(random_normal(seed, position * kSize + i));
  return out;
}

}  // namespace pith::kv::testing
