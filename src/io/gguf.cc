// GGUF, versions 1 to 3, either byte order: header, key-value metadata, tensor table, aligned data.
#include <bit>

#include "layout_builder.h"
#include "pith/io/names.h"
#include "readers.h"
#include "text.h"

namespace pith::io {
namespace {

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

constexpr int kMaxArrayDepth = 8;
constexpr uint64_t kShownItems = 4;      // of an array, in the metadata text
constexpr size_t kMaxShownText = 64;     // of a string inside an array
constexpr uint32_t kMaxDimensions = 16;  // ggml has 4

// Reads integers in the file's byte order and lengths in its version's width.
class Source {
 public:
  explicit Source(ByteView file) : reader_(file, "gguf") {
    reader_.bytes(4);
    version_ = reader_.u32();
    big_ = version_ > 0xFFFF;
    if (big_) version_ = __builtin_bswap32(version_);
    if (version_ < 1 || version_ > 3) reader_.bad("the version is unknown");
  }
  uint8_t u8() { return reader_.u8(); }
  uint16_t u16() { return big_ ? __builtin_bswap16(reader_.u16()) : reader_.u16(); }
  uint32_t u32() { return big_ ? __builtin_bswap32(reader_.u32()) : reader_.u32(); }
  uint64_t u64() { return big_ ? __builtin_bswap64(reader_.u64()) : reader_.u64(); }
  uint64_t length() { return version_ == 1 ? u32() : u64(); }
  std::string_view string() { return as_text(reader_.bytes(length())); }
  void skip(uint64_t bytes) { reader_.bytes(bytes); }
  // A count of things of at least `unit` bytes each.
  uint64_t count(uint64_t unit) {
    const uint64_t n = length();
    if (n > reader_.remaining() / unit) reader_.bad("a count is larger than the file");
    return n;
  }
  uint64_t length_bytes() const { return version_ == 1 ? 4 : 8; }
  uint64_t offset() const { return reader_.offset(); }
  bool big_endian() const { return big_; }
  [[noreturn]] void bad(std::string_view why) const { reader_.bad(why); }

 private:
  ByteReader reader_;
  uint32_t version_ = 0;
  bool big_ = false;
};

// Bytes of a value of fixed size; 0 for strings and arrays.
uint64_t fixed_bytes(const Source& in, uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kU64:
    case kI64:
    case kF64:
      return 8;
    case kString:
    case kArray:
      return 0;
    default:
      in.bad("the type of a value is unknown");
  }
}

std::string scalar_text(Source& in, uint32_t type) {
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

std::string array_text(Source& in, int depth);

std::string item_text(Source& in, uint32_t type, int depth) {
  if (type == kArray) return array_text(in, depth + 1);
  if (type != kString) return scalar_text(in, type);
  const std::string_view text = in.string();
  return text.size() <= kMaxShownText ? std::string(text)
                                      : std::string(text.substr(0, kMaxShownText)) + "…";
}

void skip_items(Source& in, uint32_t type, uint64_t n, int depth) {
  if (const uint64_t bytes = fixed_bytes(in, type)) return in.skip(checked_mul(n, bytes));
  for (uint64_t k = 0; k < n; ++k) {
    if (type == kString) {
      in.string();
    } else {
      array_text(in, depth + 1);
    }
  }
}

// "[a, b, c, d, … 32000 items]"
std::string array_text(Source& in, int depth) {
  if (depth > kMaxArrayDepth) in.bad("arrays are nested too deep");
  const uint32_t type = in.u32();
  const uint64_t fixed = fixed_bytes(in, type);
  const uint64_t smallest = type == kArray ? 4 + in.length_bytes() : in.length_bytes();
  const uint64_t n = in.count(fixed ? fixed : smallest);
  std::string text = "[";
  const uint64_t shown = std::min(n, kShownItems);
  for (uint64_t k = 0; k < shown; ++k) text += (k ? ", " : "") + item_text(in, type, depth);
  skip_items(in, type, n - shown, depth);
  return text + (n > shown ? fmt::format(", … {} items]", n) : "]");
}

// Adds the metadata and gives the data's alignment.
uint64_t read_metadata(Source& in, uint64_t pairs, LayoutBuilder& layout) {
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

Entry read_entry(Source& in) {
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
  Source in(file);
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
