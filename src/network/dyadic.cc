#include "pith/network/dyadic.h"

#include <cmath>

#include "pith/base/error.h"

namespace pith::network {

double Dyadic::value() const { return std::ldexp(b, -c); }

Dyadic nearest_dyadic(double value) {
  if (!(std::abs(value) < 0x1p23)) fail(ErrorKind::kData, "no number b / 2^c is {}", value);
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);  // in [1/2, 1)
  int c = 24 - exponent;
  if (value == 0 || c > 86) return {0, 0};
  auto b = static_cast<int32_t>(std::lround(std::ldexp(mantissa, 24)));
  if (std::abs(b) == 1 << 24) {
    b /= 2;
    --c;
  }
  // What is smaller loses digits.
  for (; c > 62; --c) b /= 2;
  return {b, c};
}

}  // namespace pith::network
