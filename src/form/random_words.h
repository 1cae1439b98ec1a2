// Random numbers that a seed stands for, the same for all time.
#pragma once

#include <cstdint>

namespace pith::form {

// SplitMix64 (Steele, Lea and Flood 2014): the i-th number.
inline uint64_t random_word(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

}  // namespace pith::form
