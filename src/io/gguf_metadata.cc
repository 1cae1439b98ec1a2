#include "pith/io/gguf_metadata.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "gguf_source.h"

namespace pith::io {
namespace {

template <class T>
T read_plain(GgufSource& in) {
  if constexpr (std::is_same_v<T, std::string>) return std::string(in.string());
  if constexpr (std::is_same_v<T, bool>) return in.u8() != 0;
  if constexpr (std::is_same_v<T, float>) return std::bit_cast<float>(in.u32());
  if constexpr (std::is_same_v<T, double>) return std::bit_cast<double>(in.u64());
  if constexpr (std::is_integral_v<T>) {
    if constexpr (sizeof(T) == 1) return static_cast<T>(in.u8());
    if constexpr (sizeof(T) == 2) return static_cast<T>(in.u16());
    if constexpr (sizeof(T) == 4) return static_cast<T>(in.u32());
    if constexpr (sizeof(T) == 8) return static_cast<T>(in.u64());
  }
}

// Calls `use` with a value of the C++ type of a GGUF type that is no array.
template <class Use>
GgufValue with_type(const GgufSource& in, uint32_t type, const Use& use) {
  switch (type) {
    case kU8:
      return use(uint8_t{});
    case kI8:
      return use(int8_t{});
    case kU16:
      return use(uint16_t{});
    case kI16:
      return use(int16_t{});
    case kU32:
      return use(uint32_t{});
    case kI32:
      return use(int32_t{});
    case kF32:
      return use(float{});
    case kBool:
      return use(bool{});
    case kString:
      return use(std::string());
    case kU64:
      return use(uint64_t{});
    case kI64:
      return use(int64_t{});
    case kF64:
      return use(double{});
    default:
      in.bad("the type of a value is unknown");
  }
}

std::optional<GgufValue> read_array(GgufSource& in) {
  const GgufArray array = read_gguf_array(in, 0);
  if (array.type == kArray) {
    skip_gguf_items(in, array, 0);
    return std::nullopt;
  }
  return with_type(in, array.type, [&]<class T>(const T&) -> GgufValue {
    std::vector<T> items;
    items.reserve(array.count);
    for (uint64_t k = 0; k < array.count; ++k) items.push_back(read_plain<T>(in));
    return items;
  });
}

std::optional<GgufValue> read_value(GgufSource& in) {
  const uint32_t type = in.u32();
  if (type == kArray) return read_array(in);
  return with_type(in, type,
                   [&]<class T>(const T&) -> GgufValue { return GgufValue(read_plain<T>(in)); });
}

}  // namespace

GgufMetadata read_gguf_metadata(ByteView file) {
  if (file.size() < 8 || as_text(file.first(4)) != "GGUF") {
    fail(ErrorKind::kData, "gguf: the file does not begin with GGUF");
  }
  GgufSource in(file);
  in.length();  // of the tensor table
  const uint64_t pairs = in.count(in.length_bytes() + 4 + 1);
  GgufMetadata metadata;
  for (uint64_t k = 0; k < pairs; ++k) {
    std::string key(in.string());
    if (auto value = read_value(in)) metadata.emplace_back(std::move(key), std::move(*value));
  }
  return metadata;
}

const GgufValue* find(const GgufMetadata& metadata, std::string_view key) {
  const auto at = std::ranges::find(metadata, key, &std::pair<std::string, GgufValue>::first);
  return at != metadata.end() ? &at->second : nullptr;
}

}  // namespace pith::io
