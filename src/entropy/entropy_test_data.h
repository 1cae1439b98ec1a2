// Sequences for the tests and benchmarks of the entropy coders.
#pragma once

#include <bit>
#include <cmath>
#include <random>

#include "pith/base/bytes.h"

namespace pith::entropy {

// Biased exponents of Gaussian values, as in the weights of a language model.
inline Bytes gaussian_exponents(size_t n, uint64_t seed, float scale = 0.02f) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, scale);
  Bytes out(n);
  for (uint8_t& e : out) e = static_cast<uint8_t>(std::bit_cast<uint32_t>(normal(random)) >> 23);
  return out;
}

// Gaussian values rounded to signed bytes.
inline Bytes gaussian_bytes(size_t n, uint64_t seed, double sigma) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, sigma);
  Bytes out(n);
  for (uint8_t& b : out) b = static_cast<uint8_t>(std::lrint(normal(random)));
  return out;
}

// Values below `alphabet`, each half as likely as the one before; `spread` 0 makes them equal.
inline Bytes geometric(size_t n, uint64_t seed, uint32_t alphabet, double spread = 0.5) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<uint32_t> any(0, alphabet - 1);
  std::geometric_distribution<uint32_t> decay(spread > 0 ? spread : 0.5);
  Bytes out(n);
  for (uint8_t& b : out) {
    b = static_cast<uint8_t>(spread > 0 ? decay(random) % alphabet : any(random));
  }
  return out;
}

}  // namespace pith::entropy
