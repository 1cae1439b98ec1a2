#include "pith/base/float_elements.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "pith/base/half.h"

namespace pith {
namespace {

// How the codes of a type of eight bits are read. Codes with all exponent bits set are ordinary
// numbers but for those that the type reserves.
struct SmallFloat {
  int exponent_bits, mantissa_bits, bias;
  bool ieee;  // all exponent bits set: infinity and NaN; else only the last mantissa is NaN
  bool fnuz;  // no infinity, no negative zero: its code is the only NaN
};

SmallFloat small_float(DType dtype) {
  switch (dtype) {
    case DType::kF8E5M2:
      return {5, 2, 15, true, false};
    case DType::kF8E4M3FNUZ:
      return {4, 3, 8, false, true};
    case DType::kF8E5M2FNUZ:
      return {5, 2, 16, false, true};
    default:
      return {4, 3, 7, false, false};  // f8_e4m3
  }
}

float value_of(const SmallFloat& t, uint32_t code) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  const float sign = code & 0x80 ? -1.0f : 1.0f;
  const uint32_t magnitude = code & 0x7F, mantissa = magnitude & ((1u << t.mantissa_bits) - 1);
  const int exponent = static_cast<int>(magnitude >> t.mantissa_bits);
  if (t.fnuz && code == 0x80) return kNaN;
  if (t.ieee && exponent == (1 << t.exponent_bits) - 1) {
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity() : kNaN;
  }
  if (!t.ieee && !t.fnuz && magnitude == 0x7F) return kNaN;
  const auto m = static_cast<float>(mantissa);
  const float whole = exponent == 0 ? m : m + static_cast<float>(1 << t.mantissa_bits);
  return sign * std::ldexp(whole, std::max(exponent, 1) - t.bias - t.mantissa_bits);
}

// The values of all codes; of magnitudes they ascend up to the largest finite one.
struct SmallTable {
  explicit SmallTable(DType dtype) : type(small_float(dtype)) {
    for (uint32_t code = 0; code < 256; ++code) values[code] = value_of(type, code);
    while (largest < 0x7F && std::isfinite(values[largest + 1])) ++largest;
  }

  uint8_t code_of(float v) const {
    if (std::isnan(v)) return type.fnuz ? 0x80 : 0x7F;
    const auto sign = static_cast<uint8_t>(std::signbit(v) ? 0x80 : 0);
    if (std::isinf(v)) return type.ieee ? sign | 0x7C : code_of(NAN);
    const float magnitude = std::fabs(v);
    const auto end = values.begin() + largest + 1;
    const auto above = std::lower_bound(values.begin(), end, magnitude);
    auto code = static_cast<uint8_t>(above - values.begin());
    if (above == end) {
      code = static_cast<uint8_t>(largest);
    } else if (*above != magnitude) {
      const float low = magnitude - values[code - 1], high = *above - magnitude;
      if (low < high || (low == high && code % 2 == 1)) --code;
    }
    return type.fnuz && code == 0 ? code : code | sign;
  }

  SmallFloat type;
  std::array<float, 256> values{};
  size_t largest = 0;
};

const SmallTable& table_of(DType dtype) {
  static const SmallTable kE4M3(DType::kF8E4M3), kE5M2(DType::kF8E5M2);
  static const SmallTable kE4M3FNUZ(DType::kF8E4M3FNUZ), kE5M2FNUZ(DType::kF8E5M2FNUZ);
  switch (dtype) {
    case DType::kF8E5M2:
      return kE5M2;
    case DType::kF8E4M3FNUZ:
      return kE4M3FNUZ;
    case DType::kF8E5M2FNUZ:
      return kE5M2FNUZ;
    default:
      return kE4M3;
  }
}

template <class T>
T swapped(T v) {
  T out = 0;
  for (size_t i = 0; i < sizeof(T); ++i) out = static_cast<T>(out << 8 | (v >> 8 * i & 0xFF));
  return out;
}

// Loops over elements whose bits are a T.
template <class T, class Convert>
void read_each(ByteView raw, bool big_endian, float* out, const Convert& convert) {
  const size_t n = raw.size() / sizeof(T);
  for (size_t i = 0; i < n; ++i) {
    const T bits = load_le<T>(raw.data() + i * sizeof(T));
    out[i] = convert(big_endian ? swapped(bits) : bits);
  }
}

template <class T, class Convert>
void write_each(std::span<const float> values, bool big_endian, uint8_t* out,
                const Convert& convert) {
  for (size_t i = 0; i < values.size(); ++i) {
    const T bits = convert(values[i]);
    store_le(out + i * sizeof(T), big_endian ? swapped(bits) : bits);
  }
}

// Finite values stay finite.
uint16_t clamped_f16(float v) {
  return f16_from_float(std::isinf(v) ? v : std::clamp(v, -65504.0f, 65504.0f));
}
uint16_t clamped_bf16(float v) {
  constexpr float kMost = 0x1.FEp127f;
  return bf16_from_float(std::isinf(v) ? v : std::clamp(v, -kMost, kMost));
}

}  // namespace

bool has_float_elements(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kF8E4M3:
    case DType::kF8E5M2:
    case DType::kF8E4M3FNUZ:
    case DType::kF8E5M2FNUZ:
      return true;
    default:
      return false;
  }
}

void floats_from(ByteView raw, DType dtype, bool big_endian, float* out) {
  switch (dtype) {
    case DType::kF64:
      return read_each<uint64_t>(raw, big_endian, out, [](uint64_t v) {
        return static_cast<float>(std::bit_cast<double>(v));
      });
    case DType::kF32:
      return read_each<uint32_t>(raw, big_endian, out,
                                 [](uint32_t v) { return std::bit_cast<float>(v); });
    case DType::kF16:
      return read_each<uint16_t>(raw, big_endian, out, float_from_f16);
    case DType::kBF16:
      return read_each<uint16_t>(raw, big_endian, out, float_from_bf16);
    default:
      break;
  }
  if (!has_float_elements(dtype)) {
    fail(ErrorKind::kUsage, "{} elements are no floats", info(dtype).name);
  }
  const SmallTable& table = table_of(dtype);
  for (size_t i = 0; i < raw.size(); ++i) out[i] = table.values[raw[i]];
}

void elements_from(std::span<const float> values, DType dtype, bool big_endian,
                   MutableByteView out) {
  switch (dtype) {
    case DType::kF64:
      return write_each<uint64_t>(values, big_endian, out.data(), [](float v) {
        return std::bit_cast<uint64_t>(static_cast<double>(v));
      });
    case DType::kF32:
      return write_each<uint32_t>(values, big_endian, out.data(),
                                  [](float v) { return std::bit_cast<uint32_t>(v); });
    case DType::kF16:
      return write_each<uint16_t>(values, big_endian, out.data(), clamped_f16);
    case DType::kBF16:
      return write_each<uint16_t>(values, big_endian, out.data(), clamped_bf16);
    default:
      break;
  }
  if (!has_float_elements(dtype)) {
    fail(ErrorKind::kUsage, "{} elements are no floats", info(dtype).name);
  }
  const SmallTable& table = table_of(dtype);
  for (size_t i = 0; i < values.size(); ++i) out[i] = table.code_of(values[i]);
}

}  // namespace pith
