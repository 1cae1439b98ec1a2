// GGUF, versions 1 to 3, either byte order: header, key-value metadata, tensor table, aligned data.
#include <bit>

#include "gguf_source.h"
#include "layout_builder.h"
#include "pith/io/names.h"
#include "readers.h"

namespace pith::io {
namespace {

constexpr uint64_t kShownItems = 4;      // of an array, in the metadata text
constexpr size_t kMaxShownText = 64;     // of a string inside an array
constexpr uint32_t kMaxDimensions = 16;  // ggml has 4

std::string scalar_text(GgufSource& in, uint32_t type) {
  switch (type) {
    case kU8:
      return std::to_string(in.u8());
    case kI8:
      return std::to_string(static_cast<int8_t>(in.u8()));
    case kU16:
      return std::to_string(in.u16());
    case kI16:
      return std::to_string(static_cast<int16_t>(in.u16()));
    case kU32:
      return std::to_string(in.u32());
    case kI32:
      return std::to_string(static_cast<int32_t>(in.u32()));
    case kU64:
      return std::to_string(in.u64());
    case kI64:
      return std::to_string(static_cast<int64_t>(in.u64()));
    case kF32:
      return fmt::format("{}", std::bit_cast<float>(in.u32()));
    case kF64:
      return fmt::format("{}", std::bit_cast<double>(in.u64()));
    case kBool:
      return in.u8() ? "true" : "false";
    default:
      in.bad("the type of a value is unknown");
  }
}

std::string array_text(GgufSource& in, int depth);

std::string item_text(GgufSource& in, uint32_t type, int depth) {
  if (type == kArray) return array_text(in, depth + 1);
  if (type != kString) return scalar_text(in, type);
  const std::string_view text = in.string();
  return text.size() <= kMaxShownText ? std::string(text)
                                      : std::string(text.substr(0, kMaxShownText)) + "…";
}

// "[a, b, c, d, … 32000 items]"
std::string array_text(GgufSource& in, int depth) {
  const auto [type, n] = read_gguf_array(in, depth);
  std::string text = "[";
  const uint64_t shown = std::min(n, kShownItems);
  for (uint64_t k = 0; k < shown; ++k) text += (k ? ", " : "") + item_text(in, type, depth);
  skip_gguf_items(in, {type, n - shown}, depth);
  return text + (n > shown ? fmt::format(", … {} items]", n) : "]");
}

// Adds the metadata and gives the data's alignment.
uint64_t read_metadata(GgufSource& in, uint64_t pairs, LayoutBuilder& layout) {
  uint64_t alignment = 32;
  for (uint64_t k = 0; k < pairs; ++k) {
    const std::string key(in.string());
    const uint32_t type = in.u32();
    const std::string text = type == kString  ? std::string(in.string())
                             : type == kArray ? array_text(in, 0)
                                              : scalar_text(in, type);
    if (key == "general.alignment") {
      if (type != kU32) in.bad("general.alignment is not a u32");
      alignment = std::stoul(text);
      if (!std::has_single_bit(alignment)) in.bad("general.alignment is not a power of two");
    }
    layout.metadata(key, text);
  }
  return alignment;
}

struct Entry {
  TensorRegion region;  // offset from the beginning of the data
  uint32_t type;
};

Entry read_entry(GgufSource& in) {
  Entry entry;
  entry.region.name = in.string();
  const uint32_t dimensions = in.u32();
  if (dimensions > kMaxDimensions) in.bad("a tensor has too many dimensions");
  // ggml writes the fastest dimension first.
  entry.region.shape.resize(dimensions);
  for (uint32_t k = dimensions; k-- > 0;) entry.region.shape[k] = in.length();
  entry.type = in.u32();
  entry.region.offset = in.u64();
  entry.region.big_endian = in.big_endian();
  return entry;
}

void add_tensor(LayoutBuilder& layout, Entry&& entry, uint64_t data_start, uint64_t alignment) {
  TensorRegion& region = entry.region;
  const auto dtype = gguf_dtype(entry.type);
  if (!dtype) {
    return layout.note(
        fmt::format("the tensor type {} is unknown; it stays plain bytes", entry.type),
        region.name);
  }
  region.dtype = *dtype;
  const uint64_t row = region.shape.empty() ? 1 : region.shape.back();
  if (row % info(*dtype).block_elements != 0) {
    fail(ErrorKind::kData, "tensor {}: its rows are not whole blocks", in_quotes(region.name));
  }
  if (region.offset % alignment != 0) {
    fail(ErrorKind::kData, "tensor {}: its offset is not aligned", in_quotes(region.name));
  }
  if (info(*dtype).block_bytes == 1) region.big_endian = false;
  region.offset = checked_add(region.offset, data_start);
  layout.add(std::move(region));
}

}  // namespace

bool looks_like_gguf(ByteView file, const std::filesystem::path&) {
  return file.size() >= 8 && as_text(file.first(4)) == "GGUF";
}

Description read_gguf(ByteView file, const std::filesystem::path&) {
  GgufSource in(file);
  const uint64_t smallest_entry = in.length_bytes() + 4 + 4 + 8;
  const uint64_t tensors = in.count(smallest_entry);
  const uint64_t pairs = in.count(in.length_bytes() + 4 + 1);
  LayoutBuilder layout("gguf", file.size(), LayoutBuilder::Broken::kRefuse);
  const uint64_t alignment = read_metadata(in, pairs, layout);
  std::vector<Entry> entries;
  for (uint64_t k = 0; k < tensors; ++k) entries.push_back(read_entry(in));
  const uint64_t data_start = checked_add(in.offset(), alignment - 1) / alignment * alignment;
  for (Entry& entry : entries) add_tensor(layout, std::move(entry), data_start, alignment);
  return {layout.finish(), {}, {}};
}

}  // namespace pith::io
