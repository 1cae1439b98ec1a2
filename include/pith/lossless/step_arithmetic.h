// The arithmetic of steps: floats of 2, 4 and 8 bytes as doubles, and back with one rounding.
//
// A decoder repeats the encoder's sum or product bit for bit: doubles are added or multiplied once
// (no pair of operations that a compiler could fuse) and rounded to the nearest, ties to even.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace pith::lossless::steps {

// An IEEE layout of E exponent and M mantissa bits in 16 bits.
template <int E, int M>
struct Half {
  using Bits = uint16_t;
  static constexpr int kExponentBits = E, kMantissaBits = M;
  static constexpr uint32_t kInfinity = ((1u << E) - 1) << M;

  static double value(Bits v) {
    const uint32_t magnitude = v & 0x7FFFu;
    double d;
    if (magnitude >= kInfinity) {
      d = magnitude == kInfinity ? INFINITY : NAN;
    } else if (magnitude >> M == 0) {
      d = std::ldexp(static_cast<double>(magnitude), 2 - (1 << (E - 1)) - M);
    } else {
      const uint64_t exponent = (magnitude >> M) + 1023 - ((1u << (E - 1)) - 1);
      d = std::bit_cast<double>(exponent << 52 | uint64_t{magnitude & ((1u << M) - 1)} << (52 - M));
    }
    return v & 0x8000u ? -d : d;
  }

  static Bits round(double d) {
    const auto u = std::bit_cast<uint64_t>(d);
    const auto sign = static_cast<uint32_t>(u >> 48 & 0x8000u);
    const auto wide = static_cast<int>(u >> 52 & 0x7FF);
    const uint64_t fraction = u & ((uint64_t{1} << 52) - 1);
    if (wide == 0x7FF)
      return static_cast<Bits>(sign | kInfinity | (fraction != 0 ? 1u : 0u) << (M - 1));
    const int exponent = wide - 1023 + ((1 << (E - 1)) - 1);
    const int shift = 52 - M + (exponent <= 0 ? 1 - exponent : 0);
    if (wide == 0 || shift > 54) return static_cast<Bits>(sign);
    const uint64_t significand = fraction | uint64_t{1} << 52;
    const uint64_t half = uint64_t{1} << (shift - 1), rest = significand & (2 * half - 1);
    uint64_t q = significand >> shift;
    if (rest > half || (rest == half && q % 2 == 1)) ++q;
    const uint64_t bits = q + (exponent > 0 ? static_cast<uint64_t>(exponent - 1) << M : 0);
    return static_cast<Bits>(sign | (bits < kInfinity ? bits : kInfinity));
  }
};

using F16 = Half<5, 10>;

struct BF16 : Half<8, 7> {
  static double value(Bits v) {
    return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(v) << 16));
  }
};

struct F32 {
  using Bits = uint32_t;
  static constexpr int kExponentBits = 8, kMantissaBits = 23;
  static double value(Bits v) { return static_cast<double>(std::bit_cast<float>(v)); }
  static Bits round(double d) { return std::bit_cast<Bits>(static_cast<float>(d)); }
};

struct F64 {
  using Bits = uint64_t;
  static constexpr int kExponentBits = 11, kMantissaBits = 52;
  static double value(Bits v) { return std::bit_cast<double>(v); }
  static Bits round(double d) { return std::bit_cast<Bits>(d); }
};

// What a step does to the base's element. Written to archives.
enum class Domain : uint8_t {
  kSum = 0,      // base + step
  kProduct = 1,  // base * step
  kValue = 2,    // step: the base only gives the context in which it is coded
};

template <class F>
typename F::Bits apply(Domain domain, double base, double step) {
  switch (domain) {
    case Domain::kSum:
      return F::round(base + step);
    case Domain::kProduct:
      return F::round(base * step);
    default:
      return F::round(step);
  }
}

// The step that does nothing. Of sums it is -0, so that a base of -0 keeps its sign.
inline double neutral(Domain domain) {
  return domain == Domain::kProduct ? 1.0 : domain == Domain::kSum ? -0.0 : 0.0;
}

}  // namespace pith::lossless::steps
