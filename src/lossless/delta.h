// What the two sides of delta coding agree on, and the loops over elements that both spend their
// time in.
#pragma once

#include <array>

#include "delta_context.h"

namespace pith::lossless {

inline constexpr int kEscape = -128;  // a symbol: the element follows in the escapes

// Low bits of a difference that may be stored as they are, for elements of so many bytes.
constexpr int last_shift(int width) { return std::min(8 * width - 8, 48); }

// What is coded of an element in one context. Of elements that hardly move that is how far. An
// element smaller than its move may be anywhere, on both sides of zero; then it is the element
// itself, as a distance down from the largest magnitude.
struct DeltaModel {
  ElementShape shape;
  int top = 0;                                  // exponent of the first context
  std::array<uint8_t, kDeltaContexts> shift{};  // low bits stored as they are
  std::array<uint8_t, kDeltaContexts> whole{};  // 1: the element itself is coded

  // The magnitude that distances are counted from: the end of the octave above the top.
  template <class U>
  U ceiling() const {
    const int exponent = std::min(top + 1, shape.exponent_mask);
    return static_cast<U>(((static_cast<uint64_t>(exponent) + 1) << shape.exponent_shift) - 1);
  }
};

template <class U>
constexpr U magnitude_mask() {
  return static_cast<U>(static_cast<U>(~U{0}) >> 1);
}

template <class U>
bool opposite(U a, U b) {
  return static_cast<U>(a ^ b) > magnitude_mask<U>();
}

// Room behind everything that is read or written by whole vectors.
inline constexpr size_t kDeltaPad = 128;

// Reads fields of up to 56 bits, least significant bits first. Past the end these are zeros or what
// the pad holds, which used_up() tells.
struct LowBitReader {
  const uint8_t* bytes = nullptr;  // kDeltaPad more can be read
  uint64_t size = 0, at = 0;       // in bits

  const uint8_t* position() const { return bytes + std::min(at, size) / 8; }
  uint64_t take(int n) {
    const uint64_t value = load_le<uint64_t>(position()) >> (at % 8) & ((uint64_t{1} << n) - 1);
    at += static_cast<uint64_t>(n);
    return value;
  }
  bool used_up() const { return (at + 7) / 8 * 8 == size; }
};

// Writes fields of up to 56 bits; 8 bytes past the last bit must be there.
struct LowBitWriter {
  uint8_t* to = nullptr;
  uint64_t word = 0;  // bits not yet a whole byte
  int filled = 0;     // of these

  void put(uint64_t value, int bits) {
    word |= value << filled;
    filled += bits;
    store_le(to, word);
    to += filled / 8;
    word >>= filled & ~7;
    filled %= 8;
  }
};

// Where decoding stands. The symbols of each context are one after the other. Every cursor can run
// on for all elements of the block and the pad: a damaged block is found out at the end.
struct DeltaSource {
  std::array<const uint8_t*, kDeltaContexts> next{};
  LowBitReader low;
  const uint8_t *escapes = nullptr, *escapes_end = nullptr;
};

// Where encoding stands: room for every element, and the pad, at each cursor.
struct DeltaSink {
  std::array<uint8_t*, kDeltaContexts> next{};
  LowBitWriter low;
  uint8_t* escapes = nullptr;
};

// Elements from the front of base that a vector kernel does; the caller does the others. False: the
// escapes are too few. raw and base have the same size, of whole elements of the model's shape.
bool delta_decode_vectors(const DeltaModel& m, ByteView base, DeltaSource& from,
                          MutableByteView raw, size_t& done);
size_t delta_encode_vectors(const DeltaModel& m, ByteView raw, ByteView base, DeltaSink& to);

}  // namespace pith::lossless
