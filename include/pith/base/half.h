// 16-bit floats: IEEE binary16 and bfloat16, to and from float; every value, rounding to nearest
// even.
#pragma once

#include <bit>
#include <cstdint>

namespace pith {

inline float float_from_bf16(uint16_t v) { return std::bit_cast<float>(uint32_t{v} << 16); }

// NaN stays NaN, the same one where it fits.
inline uint16_t bf16_from_float(float f) {
  const auto u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7FFFFFFF) > 0x7F800000)
    return static_cast<uint16_t>(u >> 16 | (u & 0xFFFF ? 0x40 : 0));
  return static_cast<uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

inline float float_from_f16(uint16_t v) {
  const uint32_t sign = uint32_t{v & 0x8000u} << 16, magnitude = v & 0x7FFFu;
  if (magnitude >= 0x7C00)
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FF) << 13);
  // Exponents move by multiplication, which makes subnormals normal too.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

// Beyond 65519 infinity; NaN stays NaN, the same one where it fits.
inline uint16_t f16_from_float(float f) {
  const auto u = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint16_t>(u >> 16 & 0x8000);
  const uint32_t magnitude = u & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) {
    const bool fits = (magnitude & 0x1FFF) == 0;
    return static_cast<uint16_t>(sign | 0x7C00 | (fits ? magnitude >> 13 & 0x3FF : 0x200));
  }
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);
  if (magnitude < 0x38800000) {  // below 2^-14: adding 1/2 rounds at the last subnormal place
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign |
                                 (std::bit_cast<uint32_t>(sum) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}

}  // namespace pith
