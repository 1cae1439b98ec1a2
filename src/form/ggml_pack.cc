// The layouts of GGML's block types: docs/forms.md.
#include <cstring>

#include "ggml_block.h"
#include "pith/base/bytes.h"
#include "pith/base/half.h"

namespace pith::form {
namespace {

void put_half(uint8_t* to, float v) { store_le(to, f16_from_float(v)); }

// Element j in the low nibble of byte j, element j + 16 in the high one.
void put_nibbles(const uint8_t* codes, uint8_t* to) {
  for (int j = 0; j < 16; ++j) {
    to[j] = static_cast<uint8_t>((codes[j] & 15) | (codes[j + 16] & 15) << 4);
  }
}

void put_fifth_bits(const uint8_t* codes, uint8_t* to) {
  uint32_t high = 0;
  for (int j = 0; j < 32; ++j) high |= uint32_t{codes[j]} >> 4 << j;
  store_le(to, high);
}

// Blocks of 32: the scale, perhaps the zero point, perhaps fifth bits, nibbles or bytes.
void pack_small(const GgmlBlockType& t, const GgmlBlock& b, uint8_t* to) {
  put_half(to, b.d);
  to += 2;
  if (t.zero) {
    put_half(to, -b.dmin);
    to += 2;
  }
  if (t.type == DType::kQ8_0) {
    for (size_t j = 0; j < 32; ++j) to[j] = static_cast<uint8_t>(b.codes[j] + t.first);
    return;
  }
  if (t.last - t.first == 31) {
    put_fifth_bits(b.codes.data(), to);
    to += 4;
  }
  put_nibbles(b.codes.data(), to);
}

void pack_q2_k(const GgmlBlock& b, uint8_t* to) {
  put_half(to + 80, b.d);
  put_half(to + 82, b.dmin);
  for (size_t part = 0; part < 16; ++part) {
    to[part] = static_cast<uint8_t>(b.scale[part] | b.least[part] << 4);
    uint8_t* q = to + 16 + part / 8 * 32 + part % 2 * 16;
    const size_t shift = part % 8 / 2 * 2;
    for (size_t i = 0; i < 16; ++i) q[i] |= static_cast<uint8_t>(b.codes[16 * part + i] << shift);
  }
}

// Scales of six bits: the low nibbles of all, then their two high bits.
void pack_q3_k(const GgmlBlock& b, uint8_t* to) {
  uint8_t* scales = to + 96;
  for (size_t i = 0; i < 16; ++i) {
    const int s = b.scale[i] + 32;
    scales[i % 8] |= static_cast<uint8_t>((s & 15) << (i / 8 * 4));
    scales[8 + i % 4] |= static_cast<uint8_t>(s >> 4 << (i / 4 * 2));
  }
  put_half(to + 108, b.d);
  for (size_t part = 0; part < 16; ++part) {
    const size_t first = part % 2 * 16, shift = part % 8 / 2 * 2, bit = part / 2;
    uint8_t* q = to + 32 + part / 8 * 32 + first;
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t c = b.codes[16 * part + i];
      q[i] |= static_cast<uint8_t>((c & 3) << shift);
      to[first + i] |= static_cast<uint8_t>(c >> 2 << bit);
    }
  }
}

// Eight scales and eight minima of six bits in 12 bytes, fifth bits of Q5_K, nibbles.
void pack_q4_k(const GgmlBlockType& t, const GgmlBlock& b, uint8_t* to) {
  put_half(to, b.d);
  put_half(to + 2, b.dmin);
  uint8_t* p = to + 4;
  for (size_t i = 0; i < 4; ++i) {
    p[i] = static_cast<uint8_t>(b.scale[i] | b.scale[i + 4] >> 4 << 6);
    p[i + 4] = static_cast<uint8_t>(b.least[i] | b.least[i + 4] >> 4 << 6);
    p[i + 8] = static_cast<uint8_t>((b.scale[i + 4] & 15) | (b.least[i + 4] & 15) << 4);
  }
  to += 16;
  if (t.type == DType::kQ5_K) {
    for (size_t i = 0; i < 256; ++i) {
      to[i % 32] |= static_cast<uint8_t>(b.codes[i] >> 4 << (i / 32));
    }
    to += 32;
  }
  for (size_t i = 0; i < 128; ++i) {
    const uint8_t* pair = b.codes.data() + i / 32 * 64 + i % 32;
    to[i] = static_cast<uint8_t>((pair[0] & 15) | (pair[32] & 15) << 4);
  }
}

void pack_q6_k(const GgmlBlock& b, uint8_t* to) {
  put_half(to + 208, b.d);
  for (size_t part = 0; part < 16; ++part) {
    to[192 + part] = static_cast<uint8_t>(b.scale[part]);
    const size_t quarter = part % 8 / 2, first = part % 2 * 16;
    uint8_t* low = to + part / 8 * 64 + quarter % 2 * 32 + first;
    uint8_t* high = to + 128 + part / 8 * 32 + first;
    for (size_t i = 0; i < 16; ++i) {
      const uint8_t c = b.codes[16 * part + i];
      low[i] |= static_cast<uint8_t>((c & 15) << (quarter / 2 * 4));
      high[i] |= static_cast<uint8_t>(c >> 4 << (quarter * 2));
    }
  }
}

void pack_iq4_xs(const GgmlBlock& b, uint8_t* to) {
  put_half(to, b.d);
  uint16_t high = 0;
  for (size_t part = 0; part < 8; ++part) {
    const int s = b.scale[part] + 32;
    to[4 + part / 2] |= static_cast<uint8_t>((s & 15) << (part % 2 * 4));
    high = static_cast<uint16_t>(high | s >> 4 << (2 * part));
    put_nibbles(b.codes.data() + 32 * part, to + 8 + 16 * part);
  }
  store_le(to + 2, high);
}

}  // namespace

void pack_block(const GgmlBlockType& t, const GgmlBlock& block, uint8_t* to) {
  if (t.block == 32) return pack_small(t, block, to);
  std::memset(to, 0, info(t.type).block_bytes);
  switch (t.type) {
    case DType::kQ2_K:
      return pack_q2_k(block, to);
    case DType::kQ3_K:
      return pack_q3_k(block, to);
    case DType::kQ6_K:
      return pack_q6_k(block, to);
    case DType::kIQ4_XS:
      return pack_iq4_xs(block, to);
    default:
      return pack_q4_k(t, block, to);
  }
}

}  // namespace pith::form
