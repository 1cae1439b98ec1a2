#include "pith/entropy/binary_coder.h"

#include <bit>
#include <utility>

namespace pith::entropy {
namespace {

// log2(1 + i/256) in units of 2^-12, by repeated squaring.
constexpr uint32_t log2_fraction(uint32_t i) {
  uint64_t x = (uint64_t{256 + i} << 22);  // 1.0 is 2^30
  uint32_t log = 0;
  for (int bit = 11; bit >= 0; --bit) {
    x = (x * x) >> 30;
    if (x >= (uint64_t{1} << 31)) {
      x >>= 1;
      log |= 1u << bit;
    }
  }
  return log;
}

constexpr auto kLog2Fraction = [] {
  std::array<uint16_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) table[i] = uint16_t(log2_fraction(i));
  return table;
}();

}  // namespace

Bytes BinaryEncoder::finish() {
  // Any value in [low, high] ends the stream; the decoder reads zeros past the end, so bytes of
  // `high` are sent only until what they fix lies inside.
  uint32_t fixed = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (fixed >= low_ && fixed <= high_) break;
    const uint8_t byte = uint8_t(high_ >> shift);
    out_.push_back(byte);
    fixed |= uint32_t(byte) << shift;
  }
  return std::move(out_);
}

uint32_t BinaryCost::cost(uint32_t p) {
  const uint32_t top = uint32_t(std::bit_width(p)) - 1;
  const uint32_t fraction = top >= 8 ? (p >> (top - 8)) & 255 : (p << (8 - top)) & 255;
  return (16 - top) * 4096 - kLog2Fraction[fraction];
}

}  // namespace pith::entropy
