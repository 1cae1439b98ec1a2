// The number line of the context-mixing float model: logarithms, powers and the bell curve in
// integers, all from tables made at compile time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "pith/entropy/fixed_exp.h"

namespace pith::lossless::cm {

// Scores beyond 16 deviations, in units of 2^-13, are all one.
inline constexpr int64_t kZLimit = 1 << 17;

// log2(1 + i/256) and 2^(i/16), built by squaring, as sixteenths of an octave and 2^-15 units.
inline constexpr std::array<uint8_t, 256> kLogFraction = [] {
  std::array<uint8_t, 256> table{};
  for (uint64_t i = 0; i < 256; ++i) {
    uint64_t x = (256 + i) << 22, log = 0;  // 1.0 is 2^30; five binary digits, then round
    for (int bit = 4; bit >= 0; --bit) {
      x = (x * x) >> 30;
      if (x >> 31 != 0) x >>= 1, log |= uint64_t{1} << bit;
    }
    table[i] = uint8_t((log + 1) / 2);
  }
  return table;
}();

inline constexpr std::array<uint32_t, 16> kPower = {32768, 34219, 35734, 37316, 38968, 40693,
                                                    42495, 44376, 46341, 48393, 50535, 52773,
                                                    55109, 57549, 60097, 62757};

// log2(v) in sixteenths of an octave, v >= 1.
inline int32_t log16(uint64_t v) {
  const int top = int(std::bit_width(v | 1)) - 1;
  const uint64_t fraction = top >= 8 ? (v >> (top - 8)) & 255 : (v << (8 - top)) & 255;
  return top * 16 + kLogFraction[fraction];
}

// The upper tail of the residuals' distribution, P(Z > k/32) in units of 2^-60, k = 0 .. 512:
// a standard Gaussian, of which 1/64 is given to a Laplacian so that no tail is empty.
inline constexpr std::array<uint64_t, 513> kTail = [] {
  using entropy::fixed_mul;
  std::array<uint64_t, 513> table{};
  const uint64_t step = entropy::exp_minus(1, 2048);  // exp(-h^2/2), h = 1/32
  const uint64_t step2 = fixed_mul(step, step);
  std::array<uint64_t, 513> density{};
  uint64_t d = entropy::kFixedOne, ratio = step;
  for (size_t k = 0; k <= 512; ++k) {
    density[k] = d;
    d = fixed_mul(d, ratio);
    ratio = fixed_mul(ratio, step2);
  }
  const uint64_t half = uint64_t{1} << 59;
  uint64_t total = 0;  // trapezoids, in units of 2^-72
  for (size_t k = 0; k < 512; ++k) total += (density[k] >> 11) + (density[k + 1] >> 11);
  const uint64_t decay = entropy::exp_minus(1, 32);
  uint64_t above = 0, laplace = entropy::kFixedOne;
  std::array<uint64_t, 513> gauss{};
  for (size_t k = 512; k-- > 0;) {
    above += (density[k] >> 11) + (density[k + 1] >> 11);
    gauss[k] = above;
  }
  for (size_t k = 0; k <= 512; ++k) {
    // gauss / total as a fraction of `half`, in two steps that fit 64 bits.
    const uint64_t unit = total >> 31;
    const uint64_t share = gauss[k] / unit;                  // 31 bits
    const uint64_t rest = ((gauss[k] % unit) << 10) / unit;  // ten more
    const uint64_t g = std::min(((share << 10) + rest) << 18, half);
    table[k] = g - g / 64 + (laplace >> 3) / 64;
    laplace = fixed_mul(laplace, decay);
  }
  return table;
}();

// P(Z > z) for z >= 0 in units of 2^-13 of a standard deviation, interpolated.
inline uint64_t tail(int64_t z) {
  const uint64_t clipped = uint64_t(std::min<int64_t>(z, (512 << 8) - 1));
  const uint64_t a = kTail[clipped >> 8], b = kTail[(clipped >> 8) + 1];
  return a - (((a - b) >> 8) * (clipped & 255));
}

// P(1) in units of 2^-16, within [16, 65520], that a value in [a, b) lies in [split, b);
// a <= split <= b as z scores in units of 2^-13.
inline uint32_t upper_share(int64_t a, int64_t split, int64_t b) {
  uint64_t low, high;
  if (a >= 0) {
    low = tail(a) - tail(split);
    high = tail(split) - tail(b);
  } else if (b <= 0) {
    low = tail(-split) - tail(-a);
    high = tail(-b) - tail(-split);
  } else {
    constexpr uint64_t kOne = uint64_t{1} << 60;
    const auto below = [](int64_t z) { return z < 0 ? tail(-z) : kOne - tail(z); };
    low = below(split) - below(a);
    high = below(b) - below(split);
  }
  const uint64_t sum = low + high;
  if (sum == 0) return 32768;
  const int shift = std::max(0, int(std::bit_width(sum)) - 47);
  const uint64_t p = ((high >> shift) << 16) / ((sum >> shift) + 1);
  return uint32_t(std::clamp<uint64_t>(p, 16, 65520));
}

}  // namespace pith::lossless::cm
