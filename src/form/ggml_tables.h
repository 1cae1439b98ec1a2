// GGML's block types and what they have in common: levels, and how small scales are packed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "pith/base/dtype.h"

namespace pith::form {

// The types whose blocks can be decoded and encoded.
inline constexpr std::array kGgmlTypes = {
    DType::kQ4_0,   DType::kQ4_1,  DType::kQ5_0,  DType::kQ5_1, DType::kQ8_0, DType::kQ2_K,
    DType::kQ3_K,   DType::kQ4_K,  DType::kQ5_K,  DType::kQ6_K, DType::kQ8_K, DType::kIQ4_NL,
    DType::kIQ4_XS, DType::kMXFP4, DType::kTQ1_0, DType::kTQ2_0};

// The function of a type, of one for each of kGgmlTypes in their order; null for other types.
template <class Function>
Function of_ggml_type(DType type, const std::array<Function, kGgmlTypes.size()>& functions) {
  const auto* found = std::ranges::find(kGgmlTypes, type);
  return found == kGgmlTypes.end() ? nullptr
                                   : functions[static_cast<size_t>(found - kGgmlTypes.begin())];
}

// Levels of IQ4_NL and IQ4_XS.
inline constexpr std::array<int, 16> kIq4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                             1,    13,   25,  38,  53,  69,  89,  113};

// Twice the values of fp4, with half the power of two.
inline constexpr std::array<int, 16> kFp4 = {0, 1,  2,  3,  4,  6,  8,  12,
                                             0, -1, -2, -3, -4, -6, -8, -12};

// Sixteen scales of 6 bits in 12 bytes: the low nibbles of all, then their two high bits.
inline std::array<int, 16> q3_scales(const uint8_t* p) {
  std::array<int, 16> scales;
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? p[i] & 15 : p[i - 8] >> 4;
    scales[static_cast<size_t>(i)] = (low | (p[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
  }
  return scales;
}

// Eight scales and eight minima of 6 bits in 12 bytes.
struct ScaleMin {
  int scale, least;
};
inline ScaleMin k4_scale(const uint8_t* p, int i) {
  if (i < 4) return {p[i] & 63, p[i + 4] & 63};
  return {(p[i + 4] & 15) | p[i - 4] >> 6 << 4, p[i + 4] >> 4 | p[i] >> 6 << 4};
}

// Five ternary digits in a byte, as the digits of a fraction of 256: times 3^n brings digit n to
// the top, times 3 out of it.
inline int ternary_digit(uint8_t byte, int n) {
  static constexpr std::array<int, 5> kPower = {1, 3, 9, 27, 81};
  return (static_cast<uint8_t>(byte * kPower[static_cast<size_t>(n)]) * 3 >> 8) - 1;
}

}  // namespace pith::form
