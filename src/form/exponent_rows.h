// Rows of 16-bit floats with short exponent codes, as they lie in memory: docs/forms-lossless.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "pith/base/dtype.h"
#include "pith/form/matrix.h"

namespace pith::form {

// The code of an exponent that stands among the escapes; smaller codes are places in a table.
inline constexpr int kEscape = 7;
inline constexpr uint64_t kTableBytes = 8;      // seven exponents and a zero
inline constexpr uint64_t kExponentBlock = 64;  // elements
// Blocks whose low bytes come before their codes, so that both lie on whole cache lines.
inline constexpr uint64_t kGroupBlocks = 8;
// Readable bytes after the last escape.
inline constexpr uint64_t kEscapePadding = 64;

// A float is rotated to the left by one bit: the sign moves to the end of the low byte, and the
// high byte begins with the exponent. Of bf16 it is all exponent; of f16 three bits of the mantissa
// follow.
constexpr uint8_t exponent_mask(bool half) { return half ? 0xF8 : 0xFF; }

// Bytes of the codes of a block.
constexpr uint64_t code_bytes(bool half) { return half ? 48 : 24; }

constexpr uint64_t exponent_row_bytes(uint64_t cols, bool half) {
  return (cols + kExponentBlock - 1) / kExponentBlock * (kExponentBlock + code_bytes(half));
}

// The column, of those of a block, whose element lies at each place: in this order vectors of 16
// columns come out of the kernel's interleaving of bytes.
constexpr std::array<uint8_t, kExponentBlock> columns_of_places(bool half) {
  std::array<uint8_t, kExponentBlock> columns{};
  for (int p = 0; p < 64; ++p) {
    const int part = p / 16, high = p % 16 / 8, j = p % 8;
    columns[static_cast<size_t>(p)] = static_cast<uint8_t>(
        half ? 32 * high + 8 * part + j : 32 * high + 16 * (j % 2) + 4 * part + j / 2);
  }
  return columns;
}

// Arrays of checked sizes whose content may be anything.
struct ExponentRows {
  bool half = false;  // f16, else bf16
  uint64_t cols = 0;
  uint64_t table_rows = 1;  // that share a table
  const uint8_t* tables = nullptr;
  const uint8_t* starts = nullptr;  // of the escapes of each row, 32 bits
  const uint8_t* blocks = nullptr;
  const uint8_t* escapes = nullptr;  // high bytes, without what is not exponent
  uint64_t escape_count = 0;         // and kEscapePadding more
};

// Rows first <= r < last as floats, every bit as it was.
void decode_exponent_rows(const ExponentRows& rows, uint64_t first, uint64_t last, float* out);
// As multiply_floats() does it, to the bit.
void multiply_exponent_rows(const ExponentRows& rows, uint64_t first, uint64_t last,
                            MatrixView vectors, float* out, uint64_t stride);

}  // namespace pith::form
