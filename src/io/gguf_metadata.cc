#include "pith/io/gguf_metadata.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "gguf_source.h"

namespace pith::io {
namespace {

constexpr int kMaxArrayDepth = 8;

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

// The count of an array's items, none of which is smaller than the file could hold.
uint64_t array_count(GgufSource& in, uint32_t type) {
  const uint64_t fixed = gguf_fixed_bytes(in, type);
  const uint64_t length = in.length_bytes();
  return in.count(fixed ? fixed : type == kArray ? 4 + length : length);
}

void skip_arrays(GgufSource& in, uint64_t n, int depth) {
  if (depth > kMaxArrayDepth) in.bad("arrays are nested too deep");
  for (uint64_t k = 0; k < n; ++k) {
    const uint32_t type = in.u32();
    const uint64_t items = array_count(in, type);
    if (const uint64_t bytes = gguf_fixed_bytes(in, type)) {
      in.skip(checked_mul(items, bytes));
    } else if (type == kArray) {
      skip_arrays(in, items, depth + 1);
    } else {
      for (uint64_t i = 0; i < items; ++i) in.string();
    }
  }
}

std::optional<GgufValue> read_array(GgufSource& in) {
  const uint32_t type = in.u32();
  const uint64_t n = array_count(in, type);
  if (type == kArray) {
    skip_arrays(in, n, 1);
    return std::nullopt;
  }
  return with_type(in, type, [&]<class T>(const T&) -> GgufValue {
    std::vector<T> items;
    items.reserve(n);
    for (uint64_t k = 0; k < n; ++k) items.push_back(read_plain<T>(in));
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
