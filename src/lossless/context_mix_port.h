// Where a model's decisions go: one template is the model of the encoder, of the decoder and of the
// trial that measures what each part of an element costs.
#pragma once

#include <array>
#include <cstdint>

#include "pith/base/bytes.h"
#include "pith/entropy/binary_coder.h"

namespace pith::lossless::cm {

// Bits that no model improves, packed least significant first.
class RawBitWriter {
 public:
  void put(uint64_t bits, uint32_t n) {  // n <= 32, bits < 2^n
    held_ |= bits << count_;
    count_ += n;
    while (count_ >= 8) {
      out_.push_back(uint8_t(held_));
      held_ >>= 8;
      count_ -= 8;
    }
  }
  Bytes finish() {
    if (count_ > 0) out_.push_back(uint8_t(held_));
    return std::move(out_);
  }

 private:
  uint64_t held_ = 0;
  uint32_t count_ = 0;
  Bytes out_;
};

class RawBitReader {  // zeros past the end
 public:
  explicit RawBitReader(ByteView in) : in_(in) {}
  uint64_t take(uint32_t n) {
    while (count_ < n) {
      held_ |= uint64_t(at_ < in_.size() ? in_[at_++] : 0) << count_;
      count_ += 8;
    }
    const uint64_t bits = held_ & ((uint64_t{1} << n) - 1);
    held_ >>= n;
    count_ -= n;
    return bits;
  }

 private:
  ByteView in_;
  size_t at_ = 0;
  uint64_t held_ = 0;
  uint32_t count_ = 0;
};

struct EncodePort {
  static constexpr bool kDecodes = false;
  entropy::BinaryEncoder coder;
  RawBitWriter bits;
  uint64_t raw(uint64_t value, uint32_t n) {
    bits.put(value, n);
    return value;
  }
  void mark(uint32_t) {}
};

struct DecodePort {
  static constexpr bool kDecodes = true;
  entropy::BinaryDecoder coder;
  RawBitReader bits;
  uint64_t raw(uint64_t, uint32_t n) { return bits.take(n); }
  void mark(uint32_t) {}
};

// mark(part) charges what was coded since the last mark to a part; units of 2^-12 bit.
struct CostPort {
  static constexpr bool kDecodes = false;
  entropy::BinaryCost coder;
  uint64_t raw_cost = 0, marked = 0;
  std::array<uint64_t, 64> part{};
  uint64_t total() const { return coder.cost() + raw_cost; }
  uint64_t raw(uint64_t value, uint32_t n) {
    raw_cost += uint64_t(n) << 12;
    return value;
  }
  void mark(uint32_t slot) {
    part[slot] += total() - marked;
    marked = total();
  }
};

}  // namespace pith::lossless::cm
