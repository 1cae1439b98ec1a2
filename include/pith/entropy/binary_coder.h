// Carry-less binary arithmetic coding, and the adaptive probability that feeds it.
//
// The coder keeps an interval [low, high] of 32 bits, splits it in proportion to the probability of
// a one, and sends the leading bytes on which both ends agree (Mahoney, PAQ/lpaq, 2005-2007). All
// arithmetic is on integers: an encoder and a decoder on different machines see the same numbers.
//
// Probabilities are P(bit = 1) in units of 2^-16 and must lie in [1, 65535].
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "pith/base/bytes.h"

namespace pith::entropy {

inline constexpr uint32_t kProbabilityOne = 1u << 16;

class BinaryEncoder {
 public:
  static constexpr bool kDecodes = false;

  uint32_t code(uint32_t bit, uint32_t p1) {
    const uint32_t mid = low_ + uint32_t((uint64_t(high_ - low_) * p1) >> 16);
    if (bit != 0)
      high_ = mid;
    else
      low_ = mid + 1;
    while (((low_ ^ high_) >> 24) == 0) {
      out_.push_back(uint8_t(high_ >> 24));
      low_ <<= 8;
      high_ = (high_ << 8) | 255;
    }
    return bit;
  }

  // The coded bytes; the encoder is spent afterwards.
  Bytes finish();

 private:
  uint32_t low_ = 0, high_ = ~0u;
  Bytes out_;
};

// Reads zeros past the end of its input: a truncated input decodes to some bits, never fails.
class BinaryDecoder {
 public:
  static constexpr bool kDecodes = true;

  explicit BinaryDecoder(ByteView in) : in_(in) {
    for (int i = 0; i < 4; ++i) value_ = (value_ << 8) | next();
  }

  // `bit` is ignored, so that one template can be the encoder's and the decoder's model.
  uint32_t code(uint32_t /*bit*/, uint32_t p1) {
    const uint32_t mid = low_ + uint32_t((uint64_t(high_ - low_) * p1) >> 16);
    const uint32_t bit = value_ <= mid;
    if (bit != 0)
      high_ = mid;
    else
      low_ = mid + 1;
    while (((low_ ^ high_) >> 24) == 0) {
      low_ <<= 8;
      high_ = (high_ << 8) | 255;
      value_ = (value_ << 8) | next();
    }
    return bit;
  }

 private:
  uint32_t next() { return at_ < in_.size() ? in_[at_++] : 0u; }

  ByteView in_;
  size_t at_ = 0;
  uint32_t low_ = 0, high_ = ~0u, value_ = 0;
};

// Adds up what coding would cost instead of coding. Costs are in units of 2^-12 bit, from a table
// of integers, so that an encoder's choices are the same on every machine.
class BinaryCost {
 public:
  static constexpr bool kDecodes = false;

  uint32_t code(uint32_t bit, uint32_t p1) {
    cost_ += cost(bit != 0 ? p1 : kProbabilityOne - p1);
    return bit;
  }
  uint64_t cost() const { return cost_; }
  // -log2(p / 2^16) in units of 2^-12 bit; p in [1, 65536].
  static uint32_t cost(uint32_t p);

 private:
  uint64_t cost_ = 0;
};

// An adaptive P(1): 22 bits of probability above 10 bits of observation count. The step is
// 1/(count + 1.5) until the count reaches a limit, so a counter is the mean of what it saw first
// and forgets slowly afterwards.
class AdaptiveBit {
 public:
  uint32_t p16() const { return state_ >> 16; }
  uint32_t count() const { return state_ & 1023; }

  // limit in [1, 1023]: the memory of the counter, in observations.
  void update(uint32_t bit, uint32_t limit) {
    const uint32_t n = count();
    int32_t p = int32_t(state_ >> 10);
    const int32_t target = bit != 0 ? (1 << 22) - 1 : 0;
    p += int32_t((int64_t(target - p) * kStep[n]) >> 16);
    state_ = uint32_t(p) << 10 | (n < limit ? n + 1 : n);
  }

  // 2^16 / (n + 1.5), the step after n observations.
  static constexpr std::array<uint32_t, 1024> kStep = [] {
    std::array<uint32_t, 1024> step{};
    for (uint32_t n = 0; n < 1024; ++n) step[n] = (2u << 16) / (2 * n + 3);
    return step;
  }();

 private:
  uint32_t state_ = 1u << 31;
};

}  // namespace pith::entropy
