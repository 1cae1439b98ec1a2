// Random numbers that are the same on every machine.
#pragma once

#include <cstdint>

namespace pith {

// The n-th 64 random bits of a seed, without state (SplitMix64: Steele, Lea, Flood 2014).
constexpr uint64_t random_bits(uint64_t seed, uint64_t n) {
  uint64_t z = seed + (n + 1) * 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// The same as a number of [0, 1), a multiple of 2^-53.
constexpr double random_unit(uint64_t seed, uint64_t n) {
  return static_cast<double>(random_bits(seed, n) >> 11) * 0x1p-53;
}

// The n-th of a seed's numbers that are normal, near enough: the sum of twelve uniform ones less 6,
// of mean 0 and variance 1, never beyond 6.
constexpr double random_normal(uint64_t seed, uint64_t n) {
  double sum = -6;
  for (uint64_t k = 0; k < 12; ++k) sum += random_unit(seed, 12 * n + k);
  return sum;
}

}  // namespace pith
