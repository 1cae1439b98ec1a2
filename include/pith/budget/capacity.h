// The capacity of a form: how well it fits Gaussian data, told in the bits that an ideal code of
// the same error would take. A proxy that needs no model: over formats of very different kinds it
// ranks how much of a model's parameters they keep (Unified Scaling Laws for Compressed
// Representations, Panferov et al. 2025).
#pragma once

#include <cstdint>

#include "pith/form/expression.h"
#include "pith/form/matrix.h"

namespace pith::budget {

// Bits an element that the rate-distortion bound of a Gaussian source asks for this mean squared
// error on data of variance 1: log to the base 1/4. Infinite for no error, 0 from an error of 1 on.
// Throws ErrorKind::kData for a negative error or NaN.
double capacity(double error);

struct GaussianScore {
  double bits = 0;   // that it takes an element, all counted
  double error = 0;  // mean squared, on data of variance 1
  double capacity() const { return budget::capacity(error); }
  double efficiency() const { return bits > 0 ? capacity() / bits : 0; }  // of the bits; at most 1
  double excess() const { return bits - capacity(); }                     // bits above the bound
};

// What a form makes of standard normal numbers, encoded without any metric. The same seed gives the
// same numbers. Throws what form::encode() throws.
GaussianScore gaussian_score(const form::Expression& form, form::Shape shape = {256, 1024},
                             uint64_t seed = 0);

}  // namespace pith::budget
