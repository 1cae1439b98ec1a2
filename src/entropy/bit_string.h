// Bit strings, least significant bit first, for the headers and tables of the coders.
#pragma once

#include <bit>
#include <cstdint>

#include "pith/base/bytes.h"

namespace pith::entropy {

class BitWriter {
 public:
  explicit BitWriter(Bytes& out) : out_(out) {}

  // The low `count` (0 to 32) bits of `value`, whose other bits must be zero.
  void put(uint32_t value, unsigned count) {
    held_ |= uint64_t{value} << used_;
    for (used_ += count; used_ >= 8; used_ -= 8, held_ >>= 8) {
      out_.push_back(static_cast<uint8_t>(held_));
    }
  }
  // Elias gamma of v >= 1: bit length less one as zeros, a one, then the bits below the highest.
  void gamma(uint32_t v) {
    const auto low = static_cast<unsigned>(std::bit_width(v) - 1);
    put(0, low);
    put(1, 1);
    put(v ^ (uint32_t{1} << low), low);
  }
  // Zero bits up to a whole byte.
  void flush() {
    if (used_ > 0) out_.push_back(static_cast<uint8_t>(held_));
    held_ = used_ = 0;
  }

 private:
  Bytes& out_;
  uint64_t held_ = 0;
  unsigned used_ = 0;
};

inline unsigned gamma_bits(uint32_t v) { return 2 * static_cast<unsigned>(std::bit_width(v)) - 1; }

// Throws ErrorKind::kData past the end.
class BitReader {
 public:
  BitReader(ByteView data, const char* what) : data_(data), what_(what) {}

  uint32_t get(unsigned count) {
    uint64_t value = 0;
    for (unsigned got = 0; got < count;) {
      if (at_ / 8 >= data_.size())
        fail(ErrorKind::kData, "{}: truncated at byte {}", what_, at_ / 8);
      const unsigned take = std::min<unsigned>(count - got, 8 - at_ % 8);
      const unsigned bits = (data_[at_ / 8] >> (at_ % 8)) & ((1u << take) - 1);
      value |= uint64_t{bits} << got;
      got += take;
      at_ += take;
    }
    return static_cast<uint32_t>(value);
  }
  uint32_t gamma() {
    unsigned low = 0;
    while (get(1) == 0) {
      if (++low > 31) bad("a number is longer than 32 bits");
    }
    return (uint32_t{1} << low) | get(low);
  }
  // Skips to a whole byte (the bits skipped must be zero) and returns its position.
  size_t byte_position() {
    if (get(static_cast<unsigned>(-at_ % 8)) != 0) bad("padding bits are not zero");
    return at_ / 8;
  }
  [[noreturn]] void bad(const char* why) const {
    fail(ErrorKind::kData, "{}: {} at byte {}", what_, why, at_ / 8);
  }

 private:
  ByteView data_;
  const char* what_;
  size_t at_ = 0;  // in bits
};

}  // namespace pith::entropy
