// Byte spans and the one checked reader through which every length from outside passes.
// All multi-byte integers are little-endian.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/error.h"

namespace pith {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;
using MutableByteView = std::span<uint8_t>;

inline ByteView as_bytes(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

// Unaligned little-endian load and store of an integer or float.
template <class T>
T load_le(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
void store_le(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}

// Sums and products of untrusted sizes; throw ErrorKind::kData when they leave 64 bits.
uint64_t checked_add(uint64_t a, uint64_t b);
uint64_t checked_mul(uint64_t a, uint64_t b);

// Reads forward through a span; every read past its end throws ErrorKind::kData naming `what` and
// the offset.
class ByteReader {
 public:
  explicit ByteReader(ByteView data, std::string_view what = "data") : data_(data), what_(what) {}

  uint8_t u8() { return take<uint8_t>(); }
  uint16_t u16() { return take<uint16_t>(); }
  uint32_t u32() { return take<uint32_t>(); }
  uint64_t u64() { return take<uint64_t>(); }
  uint64_t varint();           // LEB128, at most 10 bytes
  ByteView bytes(uint64_t n);  // a view of the next n bytes
  std::string string();        // varint length, then the bytes
  // A count of things that take at least `unit` bytes each (unit >= 1): refused when they cannot
  // be there.
  uint64_t count(uint64_t unit);

  uint64_t offset() const { return at_; }
  uint64_t remaining() const { return data_.size() - at_; }
  bool empty() const { return at_ == data_.size(); }
  void expect_end() const;
  [[noreturn]] void bad(std::string_view why) const;

 private:
  template <class T>
  T take() {
    return load_le<T>(bytes(sizeof(T)).data());
  }

  ByteView data_;
  std::string_view what_;
  uint64_t at_ = 0;
};

// Appends to a byte vector.
class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}
  void u8(uint8_t v) { out_.push_back(v); }
  void u16(uint16_t v) { put(v); }
  void u32(uint32_t v) { put(v); }
  void u64(uint64_t v) { put(v); }
  void varint(uint64_t v);
  void bytes(ByteView v) { out_.insert(out_.end(), v.begin(), v.end()); }
  void string(std::string_view s) {
    varint(s.size());
    bytes(as_bytes(s));
  }

 private:
  template <class T>
  void put(T v) {
    uint8_t raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    bytes(raw);
  }
  Bytes& out_;
};

}  // namespace pith
