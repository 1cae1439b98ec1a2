// What each file format calls the element types.
//
// Every lookup answers "nothing" for a type or a name that the other side does not have; nothing
// here throws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pith/base/dtype.h"

namespace pith::io {

// safetensors: "F32", "BF16", "F8_E4M3", …; empty when the format has no such type.
std::string_view safetensors_name(DType dtype);
std::optional<DType> safetensors_dtype(std::string_view name);
// The place of a type in the order in which the safetensors library writes tensors: it sorts by
// this rank, largest first, then by name. -1 for a type that the format does not have.
int safetensors_rank(DType dtype);

// NumPy: "<f4", "|u1", …; NumPy has no brain or 8-bit floats, which are written as ml_dtypes does:
// "<V2" and "|V1". Empty when there is no such type.
std::string_view numpy_descr(DType dtype);

struct NumpyType {
  DType dtype = DType::kBytes;
  bool big_endian = false;
};
// Reads a descr of either byte order. "V2" is taken as bf16, since that is what stands behind it in
// model files; no value for strings, dates, Python objects and other void types.
std::optional<NumpyType> numpy_dtype(std::string_view descr);

// GGUF: the number of a ggml_type.
std::optional<DType> gguf_dtype(uint32_t type);
std::optional<uint32_t> gguf_type(DType dtype);

// ONNX: the number of a TensorProto.DataType.
std::optional<DType> onnx_dtype(int64_t type);

// PyTorch: a storage class without its "Storage" ("Float", "BFloat16"), and the name of a
// torch.dtype ("float32", "float8_e4m3fn").
std::optional<DType> torch_storage_dtype(std::string_view name);
std::optional<DType> torch_dtype(std::string_view name);

// TensorFlow.js: "float32", "int32", "uint8", …
std::optional<DType> tfjs_dtype(std::string_view name);

}  // namespace pith::io
