// Orthonormal wavelets: vectors as averages at several scales, and what the averages lost.
#pragma once

#include <cstdint>

namespace pith::math {

// Haar; Daubechies' of four coefficients (1988), wrapped around at the ends.
enum class Wavelet : uint8_t { kHaar, kDaubechies4 };

// Levels after which one element is left.
int wavelet_levels(uint64_t n);

// In place: averages of the last level first, then details from the coarsest to the finest. Of an
// odd number of elements the last one goes on to the next level as it is. levels: from 0.
void wavelet_forward(Wavelet wavelet, int levels, float* x, uint64_t n);
void wavelet_inverse(Wavelet wavelet, int levels, float* x, uint64_t n);

}  // namespace pith::math
