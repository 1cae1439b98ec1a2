#include "pith/io/names.h"

#include <algorithm>
#include <array>

namespace pith::io {
namespace {

using enum DType;

// One row a type, one column a format. An empty string or -1: the format does not have the type.
struct Row {
  DType dtype;
  std::string_view safetensors, numpy, torch_storage, torch, tfjs;
  int gguf, onnx;
};

// In the order of the safetensors library's enumeration, which decides how it sorts tensors.
constexpr std::array kRows = {
    Row{kBool, "BOOL", "|b1", "Bool", "bool", "bool", -1, 9},
    Row{kF4, "F4", "", "", "float4_e2m1fn_x2", "", -1, 23},
    Row{kF6E2M3, "F6_E2M3", "", "", "", "", -1, -1},
    Row{kF6E3M2, "F6_E3M2", "", "", "", "", -1, -1},
    Row{kU8, "U8", "|u1", "Byte", "uint8", "uint8", -1, 2},
    Row{kI8, "I8", "|i1", "Char", "int8", "int8", 24, 3},
    Row{kF8E5M2, "F8_E5M2", "|V1", "", "float8_e5m2", "", -1, 19},
    Row{kF8E4M3, "F8_E4M3", "|V1", "", "float8_e4m3fn", "", -1, 17},
    Row{kF8E8M0, "F8_E8M0", "|V1", "", "float8_e8m0fnu", "", -1, 24},
    Row{kF8E4M3FNUZ, "F8_E4M3FNUZ", "|V1", "", "float8_e4m3fnuz", "", -1, 18},
    Row{kF8E5M2FNUZ, "F8_E5M2FNUZ", "|V1", "", "float8_e5m2fnuz", "", -1, 20},
    Row{kI16, "I16", "<i2", "Short", "int16", "int16", 25, 5},
    Row{kU16, "U16", "<u2", "", "uint16", "uint16", -1, 4},
    Row{kF16, "F16", "<f2", "Half", "float16", "float16", 1, 10},
    Row{kBF16, "BF16", "<V2", "BFloat16", "bfloat16", "", 30, 16},
    Row{kI32, "I32", "<i4", "Int", "int32", "int32", 26, 6},
    Row{kU32, "U32", "<u4", "", "uint32", "", -1, 12},
    Row{kF32, "F32", "<f4", "Float", "float32", "float32", 0, 1},
    Row{kC64, "C64", "<c8", "ComplexFloat", "complex64", "complex64", -1, 14},
    Row{kF64, "F64", "<f8", "Double", "float64", "", 28, 11},
    Row{kI64, "I64", "<i8", "Long", "int64", "", 27, 7},
    Row{kU64, "U64", "<u8", "", "uint64", "", -1, 13},
    // Not in safetensors.
    Row{kC128, "", "<c16", "ComplexDouble", "complex128", "", -1, 15},
    Row{kU4, "", "", "", "", "", -1, 21},
    Row{kI4, "", "", "", "", "", -1, 22},
};

const Row* row_of(DType dtype) {
  const auto at = std::ranges::find(kRows, dtype, &Row::dtype);
  return at != kRows.end() ? &*at : nullptr;
}

template <class Column, class Value>
std::optional<DType> find(Column column, const Value& value) {
  const auto at = std::ranges::find(kRows, value, column);
  return at != kRows.end() ? std::optional(at->dtype) : std::nullopt;
}

std::optional<DType> find_name(std::string_view Row::*column, std::string_view name) {
  return name.empty() ? std::nullopt : find(column, name);
}

}  // namespace

std::string_view safetensors_name(DType dtype) {
  const Row* row = row_of(dtype);
  return row ? row->safetensors : std::string_view();
}

std::optional<DType> safetensors_dtype(std::string_view name) {
  return find_name(&Row::safetensors, name);
}

int safetensors_rank(DType dtype) {
  const Row* row = row_of(dtype);
  return row && !row->safetensors.empty() ? static_cast<int>(row - kRows.data()) : -1;
}

std::string_view numpy_descr(DType dtype) {
  const Row* row = row_of(dtype);
  return row ? row->numpy : std::string_view();
}

std::optional<NumpyType> numpy_dtype(std::string_view descr) {
  constexpr std::string_view kOrders = "<>|=";
  if (descr.size() < 3 || kOrders.find(descr[0]) == std::string_view::npos) return std::nullopt;
  const std::string_view kind = descr.substr(1);
  if (kind == "V1") return std::nullopt;  // which of the 8-bit floats is not written anywhere
  if (kind == "V2") return NumpyType{kBF16, descr[0] == '>'};
  const auto at = std::ranges::find_if(
      kRows, [&](const Row& row) { return row.numpy.size() > 1 && row.numpy.substr(1) == kind; });
  if (at == kRows.end()) return std::nullopt;
  return NumpyType{at->dtype, descr[0] == '>' && info(at->dtype).block_bytes > 1};
}

std::optional<DType> gguf_dtype(uint32_t type) {
  if (type <= 30) {
    if (const auto plain = find(&Row::gguf, static_cast<int>(type))) return plain;
  }
  if (type > 255 - 64) return std::nullopt;
  const DTypeInfo* block = find_dtype(static_cast<uint8_t>(64 + type));
  return block && block->kind == NumberKind::kBlock ? std::optional(block->dtype) : std::nullopt;
}

std::optional<uint32_t> gguf_type(DType dtype) {
  if (info(dtype).kind == NumberKind::kBlock) return static_cast<uint32_t>(dtype) - 64;
  const Row* row = row_of(dtype);
  return row && row->gguf >= 0 ? std::optional(static_cast<uint32_t>(row->gguf)) : std::nullopt;
}

std::optional<DType> onnx_dtype(int64_t type) {
  return type > 0 && type < 256 ? find(&Row::onnx, static_cast<int>(type)) : std::nullopt;
}

std::optional<DType> torch_storage_dtype(std::string_view name) {
  // Quantized storages hold plain integers; their scales stand in the pickle.
  if (name == "QInt8") return kI8;
  if (name == "QUInt8") return kU8;
  if (name == "QInt32") return kI32;
  return find_name(&Row::torch_storage, name);
}

std::optional<DType> torch_dtype(std::string_view name) { return find_name(&Row::torch, name); }

std::optional<DType> tfjs_dtype(std::string_view name) { return find_name(&Row::tfjs, name); }

}  // namespace pith::io
