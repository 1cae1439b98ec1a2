#include "scales.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "float_product.h"
#include "panel_floats.h"
#include "pith/base/half.h"

namespace pith::form {
namespace {

constexpr float kMostF16 = 65504;
constexpr float kMostBF16 = 0x1.FEp127f;

// 2^(byte - 127), of which the least is subnormal.
inline float float_from_e8m0(uint8_t byte) {
  return std::bit_cast<float>(uint32_t{byte} << 23 | (byte == 0 ? 0x400000u : 0u));
}

}  // namespace

bool is_scale_type(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 ||
         type == DType::kF8E8M0;
}

uint64_t scale_bytes(DType type) { return info(type).block_bytes; }

float rounded_scale(float v, DType type) {
  switch (type) {
    case DType::kF16:
      return float_from_f16(f16_from_float(std::clamp(v, -kMostF16, kMostF16)));
    case DType::kBF16:
      return float_from_bf16(bf16_from_float(std::clamp(v, -kMostBF16, kMostBF16)));
    case DType::kF8E8M0: {
      if (!(v > 0)) return 0x1p-127f;
      return std::exp2(std::clamp(std::round(std::log2(v)), -127.0f, 127.0f));
    }
    default:
      return v;
  }
}

void append_float(float v, DType type, Bytes& to) {
  ByteWriter w(to);
  switch (type) {
    case DType::kF16:
      return w.u16(f16_from_float(v));
    case DType::kBF16:
      return w.u16(bf16_from_float(v));
    case DType::kF8E8M0:
      return w.u8(static_cast<uint8_t>(std::ilogb(v) + 127));
    default:
      return w.u32(std::bit_cast<uint32_t>(v));
  }
}

float load_float(const uint8_t* floats, uint64_t index, DType type) {
  switch (type) {
    case DType::kF16:
      return float_from_f16(load_le<uint16_t>(floats + 2 * index));
    case DType::kBF16:
      return float_from_bf16(load_le<uint16_t>(floats + 2 * index));
    case DType::kF8E8M0:
      return float_from_e8m0(floats[index]);
    default:
      return load_le<float>(floats + 4 * index);
  }
}

void load_floats(const uint8_t* floats, uint64_t n, DType type, float* out) {
  switch (type) {
    case DType::kF16:
      return floats_of_f16(floats, n, out);
    case DType::kF8E8M0:
      for (uint64_t i = 0; i < n; ++i) out[i] = float_from_e8m0(floats[i]);
      return;
    default:
      floats_of(type, floats, n, out);
  }
}

}  // namespace pith::form
