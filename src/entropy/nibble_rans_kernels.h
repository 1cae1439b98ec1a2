// The inner loops of nibble_rans: one segment, forwards or backwards, on the best instruction set.
//
// A state x is in [256, 65536) between symbols. Coding symbol s of frequency f from slot c on turns
// x into (x / f) * 256 + c + x % f, after moving the low byte of x to the stream if x >= 256 * f.
#pragma once

#include <cstddef>

#include "nibble_rans_table.h"

namespace pith::entropy {

// Lanes of a full-width stream, and what the vector kernels work on; shorter streams use fewer.
inline constexpr size_t kNibbleLanes = 64;
inline constexpr uint32_t kNibbleStart = 256;  // every lane's state before encoding, after decoding
// Readable (decoder) or writable (encoder) bytes that must follow / precede the escapes.
inline constexpr size_t kNibblePad = 64;

struct NibbleDecodeTable {
  explicit NibbleDecodeTable(const NibbleTable& table);

  alignas(64) std::array<uint8_t, 256> entry_of_slot;
  alignas(16) std::array<uint8_t, 16> frequency{}, first_slot{}, symbol{};
  uint32_t entries, escape;  // escape: its entry, or 255
};

struct NibbleDecoder {
  size_t lanes;
  alignas(64) std::array<uint16_t, kNibbleLanes> state;
  const uint8_t *in, *in_end;
  const uint8_t *escapes, *escapes_end;  // escapes_end: kNibblePad bytes more can be read
};

// Decodes n > 0 symbols of one segment; the first belongs to lane 0. False when the stream or the
// escapes run out.
bool nibble_decode_segment(const NibbleDecodeTable& table, NibbleDecoder& d, uint8_t* out,
                           size_t n);

struct NibbleEncodeTable {
  explicit NibbleEncodeTable(const NibbleTable& table);

  alignas(64) std::array<uint8_t, 256> entry_of_symbol;
  // By entry: frequency, slot (less one for frequency 1, see `plus`), quotients from
  // ((x * reciprocal) >> 16 >> shift) + plus.
  alignas(16) std::array<uint8_t, 16> frequency{}, bias{}, plus{}, symbol{};
  alignas(32) std::array<uint16_t, 16> reciprocal{}, shift{};
  uint32_t entries, direct, escape;
};

// Both outputs grow downwards.
struct NibbleEncoder {
  size_t lanes;
  alignas(64) std::array<uint16_t, kNibbleLanes> state;
  uint8_t* out;      // one byte a symbol and kNibblePad more below it
  uint8_t* escapes;  // room for all escapes and kNibblePad more below it
};

// Encodes n > 0 symbols of one segment, last symbol first; the first belongs to lane 0.
void nibble_encode_segment(const NibbleEncodeTable& table, NibbleEncoder& e, const uint8_t* symbols,
                           size_t n);

}  // namespace pith::entropy
