#include "pith/base/dtype.h"

#include <algorithm>
#include <array>

namespace pith {
namespace {

using enum DType;
using enum NumberKind;

constexpr DTypeInfo plain(DType d, std::string_view name, uint32_t bytes, NumberKind kind,
                          uint8_t exponent = 0, uint8_t mantissa = 0) {
  return {d, name, 1, bytes, kind, exponent, mantissa};
}
constexpr DTypeInfo block(DType d, std::string_view name, uint32_t elements, uint32_t bytes) {
  return {d, name, elements, bytes, kBlock, 0, 0};
}

constexpr std::array kTypes = {
    plain(kBytes, "bytes", 1, kOpaque),
    plain(kBool, "bool", 1, kUnsigned),
    plain(kU8, "u8", 1, kUnsigned),
    plain(kI8, "i8", 1, kSigned),
    plain(kU16, "u16", 2, kUnsigned),
    plain(kI16, "i16", 2, kSigned),
    plain(kU32, "u32", 4, kUnsigned),
    plain(kI32, "i32", 4, kSigned),
    plain(kU64, "u64", 8, kUnsigned),
    plain(kI64, "i64", 8, kSigned),
    plain(kF16, "f16", 2, kFloat, 5, 10),
    plain(kBF16, "bf16", 2, kFloat, 8, 7),
    plain(kF32, "f32", 4, kFloat, 8, 23),
    plain(kF64, "f64", 8, kFloat, 11, 52),
    plain(kF8E4M3, "f8_e4m3", 1, kFloat, 4, 3),
    plain(kF8E5M2, "f8_e5m2", 1, kFloat, 5, 2),
    plain(kF8E8M0, "f8_e8m0", 1, kUnsigned),
    plain(kF8E4M3FNUZ, "f8_e4m3fnuz", 1, kFloat, 4, 3),
    plain(kF8E5M2FNUZ, "f8_e5m2fnuz", 1, kFloat, 5, 2),
    plain(kC64, "c64", 8, kComplex, 8, 23),
    plain(kC128, "c128", 16, kComplex, 11, 52),
    DTypeInfo{kU4, "u4", 2, 1, kUnsigned, 0, 0},
    DTypeInfo{kI4, "i4", 2, 1, kSigned, 0, 0},
    DTypeInfo{kF4, "f4", 2, 1, kOpaque, 0, 0},
    DTypeInfo{kF6E2M3, "f6_e2m3", 4, 3, kOpaque, 0, 0},
    DTypeInfo{kF6E3M2, "f6_e3m2", 4, 3, kOpaque, 0, 0},
    block(kQ4_0, "q4_0", 32, 18),
    block(kQ4_1, "q4_1", 32, 20),
    block(kQ5_0, "q5_0", 32, 22),
    block(kQ5_1, "q5_1", 32, 24),
    block(kQ8_0, "q8_0", 32, 34),
    block(kQ8_1, "q8_1", 32, 36),
    block(kQ2_K, "q2_K", 256, 84),
    block(kQ3_K, "q3_K", 256, 110),
    block(kQ4_K, "q4_K", 256, 144),
    block(kQ5_K, "q5_K", 256, 176),
    block(kQ6_K, "q6_K", 256, 210),
    block(kQ8_K, "q8_K", 256, 292),
    block(kIQ2_XXS, "iq2_xxs", 256, 66),
    block(kIQ2_XS, "iq2_xs", 256, 74),
    block(kIQ3_XXS, "iq3_xxs", 256, 98),
    block(kIQ1_S, "iq1_s", 256, 50),
    block(kIQ4_NL, "iq4_nl", 32, 18),
    block(kIQ3_S, "iq3_s", 256, 110),
    block(kIQ2_S, "iq2_s", 256, 82),
    block(kIQ4_XS, "iq4_xs", 256, 136),
    block(kIQ1_M, "iq1_m", 256, 56),
    block(kTQ1_0, "tq1_0", 256, 54),
    block(kTQ2_0, "tq2_0", 256, 66),
    block(kMXFP4, "mxfp4", 32, 17),
    block(kNVFP4, "nvfp4", 64, 36),
};

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return kTypes; }

const DTypeInfo* find_dtype(uint8_t number) {
  const auto at = std::ranges::lower_bound(
      kTypes, number, {}, [](const DTypeInfo& t) { return static_cast<uint8_t>(t.dtype); });
  return at != kTypes.end() && static_cast<uint8_t>(at->dtype) == number ? &*at : nullptr;
}

const DTypeInfo* find_dtype(std::string_view name) {
  const auto at = std::ranges::find(kTypes, name, &DTypeInfo::name);
  return at != kTypes.end() ? &*at : nullptr;
}

const DTypeInfo& info(DType dtype) {
  const DTypeInfo* found = find_dtype(static_cast<uint8_t>(dtype));
  return found ? *found : kTypes.front();
}

std::optional<uint64_t> tensor_bytes(DType dtype, std::span<const uint64_t> shape) {
  uint64_t elements = 1;
  bool overflow = false;
  // A zero dimension makes the tensor empty however large the others are.
  if (std::ranges::find(shape, 0u) != shape.end()) return 0;
  for (const uint64_t d : shape) overflow |= __builtin_mul_overflow(elements, d, &elements);
  const DTypeInfo& t = info(dtype);
  uint64_t bytes = 0;
  overflow |= elements % t.block_elements != 0;
  overflow |= __builtin_mul_overflow(elements / t.block_elements, uint64_t{t.block_bytes}, &bytes);
  if (overflow) return std::nullopt;
  return bytes;
}

}  // namespace pith
