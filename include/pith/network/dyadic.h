// Numbers b / 2^c: what integers can be multiplied by with a product and a shift, without division
// or floats (Jacob et al. 2018; HAWQ-V3, Yao et al. 2021).
#pragma once

#include <cstdint>

namespace pith::network {

struct Dyadic {
  int32_t b = 0;  // |b| < 2^24
  int c = 0;      // 0 to 62

  double value() const;
  bool operator==(const Dyadic&) const = default;
};

// The nearest to a number of 24 bits: at most 2^-24 of it away where that is at least 2^-39; b of
// smaller ones has fewer bits. Throws ErrorKind::kData for NaN and for numbers of 2^23 or more.
Dyadic nearest_dyadic(double value);

// x times d, rounded to the nearest integer, halves upwards. |x| < 2^38.
inline int64_t rescaled(int64_t x, Dyadic d) {
  const int64_t half = d.c == 0 ? 0 : int64_t{1} << (d.c - 1);
  return (x * d.b + half) >> d.c;
}

}  // namespace pith::network
