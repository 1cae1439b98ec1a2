// How GGUF writes integers, lengths and strings: shared by the reader of layouts and the reader of
// metadata values.
#pragma once

#include <string_view>

#include "pith/base/bytes.h"
#include "pith/io/text.h"

namespace pith::io {

enum GgufType : uint32_t {
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

// Reads integers in the file's byte order and lengths in its version's width.
class GgufSource {
 public:
  explicit GgufSource(ByteView file) : reader_(file, "gguf") {
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

struct GgufArray {
  uint32_t type;  // of its items
  uint64_t count;
};

// The head of an array that stands in `depth` others; no more items than the file can hold. Throws
// for a type that does not exist and for arrays that are nested too deep.
GgufArray read_gguf_array(GgufSource& in, int depth);
// Skips items of an array that stands in `depth` others.
void skip_gguf_items(GgufSource& in, GgufArray items, int depth);

}  // namespace pith::io
