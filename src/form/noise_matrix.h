// Matrices as weights are, for tests and benchmarks.
#pragma once

#include <random>

#include "pith/form/matrix.h"

namespace pith::form {

// Of independent normal variables.
inline Matrix noise(Shape shape, uint32_t seed, float deviation = 0.02f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  Matrix m(shape);
  for (float& v : m.values) v = normal(random);
  return m;
}

}  // namespace pith::form
