// Small unsigned integers of 1 to 8 bits in blocks of 64, laid out for vector kernels.
//
// A block of b-bit codes is 8 * b bytes: one plane for each of the powers of two that b is the sum
// of, widest first. In a plane of w bits, byte j holds the codes j, j + n, j + 2n, … (n = 8 * w
// bytes in the plane), the first in the lowest bits. So 4 bits are unpacked by a mask and a shift,
// 6 bits are those and two more, and a plane of one bit is a mask register.
#pragma once

#include <cstdint>

#include "pith/base/bytes.h"

namespace pith::form {

inline constexpr uint64_t kCodeBlock = 64;

// Bytes of a row of n codes; the last block is filled up with zeros.
constexpr uint64_t code_row_bytes(uint64_t n, int bits) {
  return (n + kCodeBlock - 1) / kCodeBlock * 8 * static_cast<uint64_t>(bits);
}

// codes: 64 values below 2^bits. packed: 8 * bits bytes.
void pack_block(const uint8_t* codes, int bits, uint8_t* packed);
void unpack_block(const uint8_t* packed, int bits, uint8_t* codes);

// Whole rows of n codes.
void pack_row(const uint8_t* codes, uint64_t n, int bits, uint8_t* packed);
void unpack_row(const uint8_t* packed, uint64_t n, int bits, uint8_t* codes);

}  // namespace pith::form
