#include <bit>
#include <type_traits>
#include <unordered_set>

#include "pith/io/names.h"
#include "pith/io/text.h"
#include "pith/io/write.h"

namespace pith::io {
namespace {

constexpr uint32_t kVersion = 3, kArray = 9;

void put_string(ByteWriter& writer, const std::string& text) {
  if (utf8(text) != text) fail(ErrorKind::kUsage, "gguf: {} is not UTF-8", in_quotes(text));
  writer.u64(text.size());
  writer.bytes(as_bytes(text));
}

// GGUF's number for the type of a value.
template <class T>
constexpr uint32_t type_number() {
  if constexpr (std::is_same_v<T, bool>) return 7;
  if constexpr (std::is_same_v<T, std::string>) return 8;
  if constexpr (std::is_same_v<T, float>) return 6;
  if constexpr (std::is_same_v<T, double>) return 12;
  if constexpr (std::is_integral_v<T>) {
    constexpr uint32_t kSigned = std::is_signed_v<T>;
    return sizeof(T) == 8 ? 10 + kSigned : (sizeof(T) == 4 ? 4 : sizeof(T) == 2 ? 2 : 0) + kSigned;
  }
}

template <class T>
void put_plain(ByteWriter& writer, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put_string(writer, value);
  } else {
    uint8_t raw[sizeof value];
    store_le(raw, value);
    writer.bytes(raw);
  }
}

struct PutValue {
  ByteWriter& writer;
  template <class T>
  void operator()(const T& value) {
    writer.u32(type_number<T>());
    put_plain(writer, value);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    writer.u32(kArray);
    writer.u32(type_number<T>());
    writer.u64(values.size());
    for (const T& value : values) put_plain(writer, value);
  }
};

void put_metadata(ByteWriter& writer, const GgufMetadata& metadata) {
  for (const auto& [key, value] : metadata) {
    put_string(writer, key);
    std::visit(PutValue{writer}, value);
  }
}

// Writes one line of the tensor table and gives the tensor's size.
uint64_t put_entry(ByteWriter& writer, const TensorInfo& tensor, uint64_t offset) {
  const auto type = gguf_type(tensor.dtype);
  if (!type) {
    fail(ErrorKind::kUsage, "GGUF has no type {}, which tensor {} has", info(tensor.dtype).name,
         in_quotes(tensor.name));
  }
  const auto size = tensor_bytes(tensor.dtype, tensor.shape);
  const uint64_t row = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (!size || row % info(tensor.dtype).block_elements != 0) {
    fail(ErrorKind::kUsage, "gguf: the rows of tensor {} are not whole blocks",
         in_quotes(tensor.name));
  }
  put_string(writer, tensor.name);
  writer.u32(static_cast<uint32_t>(tensor.shape.size()));
  for (size_t k = tensor.shape.size(); k-- > 0;) writer.u64(tensor.shape[k]);
  writer.u32(*type);
  writer.u64(offset);
  return *size;
}

GgufMetadata with_alignment(GgufMetadata metadata, uint32_t alignment) {
  if (!std::has_single_bit(alignment) || alignment % 8 != 0) {
    fail(ErrorKind::kUsage, "gguf: an alignment of {} is not possible", alignment);
  }
  std::erase_if(metadata, [](const auto& entry) { return entry.first == "general.alignment"; });
  if (alignment != 32) metadata.emplace_back("general.alignment", alignment);
  return metadata;
}

void check_names(std::span<const TensorInfo> tensors) {
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      fail(ErrorKind::kUsage, "gguf: two tensors are named {}", in_quotes(tensor.name));
    }
  }
}

}  // namespace

Bytes gguf_header(const GgufMetadata& metadata, std::span<const TensorInfo> tensors,
                  uint32_t alignment) {
  check_names(tensors);
  const GgufMetadata pairs = with_alignment(metadata, alignment);
  Bytes out;
  out.reserve(256);
  ByteWriter writer(out);
  writer.bytes(as_bytes("GGUF"));
  writer.u32(kVersion);
  writer.u64(tensors.size());
  writer.u64(pairs.size());
  put_metadata(writer, pairs);
  uint64_t at = 0;
  for (const TensorInfo& tensor : tensors) {
    at = checked_add(at, put_entry(writer, tensor, at));
    at = checked_add(at, alignment - 1) / alignment * alignment;
  }
  out.resize((out.size() + alignment - 1) / alignment * alignment);
  return out;
}

}  // namespace pith::io
