// The discrete cosine transform: smooth vectors become few coordinates.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/math/fourier.h"

namespace pith::math {

// The orthonormal DCT-II of any size by one Fourier transform of that size (Makhoul 1980), summed
// in double.
class Dct {
 public:
  explicit Dct(uint64_t size);

  uint64_t size() const { return fourier_.size(); }
  // X[k] = s_k sum of x[j] cos(pi (2 j + 1) k / 2 n), s_0 = sqrt(1 / n), else sqrt(2 / n). In
  // place; many threads may call it at a time.
  void forward(float* x) const;
  void inverse(float* x) const;

 private:
  Fourier fourier_;
  std::vector<Complex> turns_;  // s_k exp(-i pi k / 2 n)
};

}  // namespace pith::math
