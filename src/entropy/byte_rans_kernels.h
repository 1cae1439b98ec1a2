// The inner loops of byte_rans: one segment, forwards or backwards.
//
// A state x is in [2^16, 2^32) between symbols. Coding symbol s of frequency f from slot c on turns
// x into (x / f) * 4096 + c + x % f, after moving the low 16 bits of x to the stream if
// x >= f * 2^20.
#pragma once

#include <cstddef>

#include "byte_rans_table.h"

namespace pith::entropy {

inline constexpr size_t kByteLanes = 32;  // of a full-width stream; shorter streams use fewer
inline constexpr uint32_t kByteStart = 1u << 16;  // lanes before encoding and after decoding

struct ByteDecodeTable {
  explicit ByteDecodeTable(const ByteTable& table);  // not constant
  // By slot: symbol | frequency << 8 | (slot - first slot of the symbol) << 20.
  alignas(64) std::array<uint32_t, kByteTotal> slots;
};

struct ByteDecoder {
  size_t lanes;
  alignas(64) std::array<uint32_t, kByteLanes> state;
  const uint8_t *in, *in_end;  // whole 16-bit words
};

// Decodes n symbols of one segment; the first belongs to lane 0. False when the stream runs out.
bool byte_decode_segment(const ByteDecodeTable& t, ByteDecoder& d, uint8_t* out, size_t n);

struct ByteEncodeTable {
  explicit ByteEncodeTable(const ByteTable& table);  // not constant
  struct Entry {
    uint64_t reciprocal;  // ceil(2^44 / frequency): x / frequency is x * reciprocal >> 44
    uint32_t frequency, slot;
  };
  alignas(64) std::array<Entry, 256> entries;
  alignas(64) std::array<uint32_t, 256> packed;  // frequency | slot << 16
};

struct ByteEncoder {
  size_t lanes;
  std::array<uint32_t, kByteLanes> state;
  uint8_t* out;  // grows downwards; two bytes a symbol and two more below it
};

// Encodes n symbols of one segment, last symbol first; the first belongs to lane 0.
void byte_encode_segment(const ByteEncodeTable& t, ByteEncoder& e, const uint8_t* symbols,
                         size_t n);

}  // namespace pith::entropy
