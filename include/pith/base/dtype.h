// Element types of tensors: plain ones, and the block-quantized types of GGML.
//
// A type stores `block_elements` elements in `block_bytes` bytes (plain types: one element;
// packed 4-bit types: two elements in a byte). Sizes of whole tensors follow from them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pith {

// The numbers are written to archives: never change or reuse one.
enum class DType : uint8_t {
  kBytes = 0,  // no known element structure
  kBool = 1,
  kU8 = 2,
  kI8 = 3,
  kU16 = 4,
  kI16 = 5,
  kU32 = 6,
  kI32 = 7,
  kU64 = 8,
  kI64 = 9,
  kF16 = 10,
  kBF16 = 11,
  kF32 = 12,
  kF64 = 13,
  kF8E4M3 = 14,
  kF8E5M2 = 15,
  kF8E8M0 = 16,
  kF8E4M3FNUZ = 17,
  kF8E5M2FNUZ = 18,
  kC64 = 19,
  kC128 = 20,  // complex: two f32, two f64
  kU4 = 21,
  kI4 = 22,
  kF4 = 23,  // two elements in a byte
  kF6E2M3 = 24,
  kF6E3M2 = 25,  // four elements in three bytes
  // GGML block types, 64 + the number that GGUF gives them.
  kQ4_0 = 66,
  kQ4_1 = 67,
  kQ5_0 = 70,
  kQ5_1 = 71,
  kQ8_0 = 72,
  kQ8_1 = 73,
  kQ2_K = 74,
  kQ3_K = 75,
  kQ4_K = 76,
  kQ5_K = 77,
  kQ6_K = 78,
  kQ8_K = 79,
  kIQ2_XXS = 80,
  kIQ2_XS = 81,
  kIQ3_XXS = 82,
  kIQ1_S = 83,
  kIQ4_NL = 84,
  kIQ3_S = 85,
  kIQ2_S = 86,
  kIQ4_XS = 87,
  kIQ1_M = 93,
  kTQ1_0 = 98,
  kTQ2_0 = 99,
  kMXFP4 = 103,
  kNVFP4 = 104,
};

enum class NumberKind : uint8_t { kOpaque, kUnsigned, kSigned, kFloat, kComplex, kBlock };

struct DTypeInfo {
  DType dtype;
  std::string_view name;    // Pith's name: "bf16", "f32", "i8", "q4_K"
  uint32_t block_elements;  // elements in one block, >= 1
  uint32_t block_bytes;     // bytes of one block, >= 1
  NumberKind kind;
  uint8_t exponent_bits, mantissa_bits;  // of floats (of the part, for complex), else 0
};

// All types, ascending by number.
std::span<const DTypeInfo> all_dtypes();
// nullptr for a number that is no type.
const DTypeInfo* find_dtype(uint8_t number);
const DTypeInfo* find_dtype(std::string_view name);
// The type's description; `dtype` must be one of the enumeration.
const DTypeInfo& info(DType dtype);

// Bytes of a tensor (shape: outermost dimension first; empty shape: one element); no value when it
// overflows, or when the elements do not fill whole blocks.
std::optional<uint64_t> tensor_bytes(DType dtype, std::span<const uint64_t> shape);

}  // namespace pith
