// The metadata of a GGUF file as values: what a program needs that runs the model (sizes, the
// tokenizer's vocabulary), where Layout::metadata has only text to be shown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::io {

using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, uint64_t, int64_t, double, std::vector<uint8_t>,
                               std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                               std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>,
                               std::vector<bool>, std::vector<std::string>, std::vector<uint64_t>,
                               std::vector<int64_t>, std::vector<double>>;
using GgufMetadata = std::vector<std::pair<std::string, GgufValue>>;  // in file order

// Reads all key-value pairs of a GGUF file (versions 1 to 3, either byte order), of which `file`
// must hold at least the part before the tensors' data. Strings are the file's bytes, whether UTF-8
// or not. Arrays of arrays, which no known key has, are left out. Throws ErrorKind::kData with the
// byte offset for what is no GGUF file; memory is bounded by the size of the file.
GgufMetadata read_gguf_metadata(ByteView file);

// The value of the first pair of that name; nullptr where there is none.
const GgufValue* find(const GgufMetadata& metadata, std::string_view key);

// The same, of that type; nullptr also where the value has another type.
template <class T>
const T* find_as(const GgufMetadata& metadata, std::string_view key) {
  const GgufValue* value = find(metadata, key);
  return value ? std::get_if<T>(value) : nullptr;
}

}  // namespace pith::io
