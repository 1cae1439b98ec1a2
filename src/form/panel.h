// Small unsigned integers of 1 to 8 bits in panels of 16 rows, laid out for dot products of bytes.
//
// A matrix is cut into panels of 16 rows (the last has what is left) and these into blocks of 32
// columns, one after the other; the last block is filled up with zeros. In a block, four
// neighbouring columns are a chunk: 4 * rows bytes, the four codes of the first row, then those of
// the second, … : what one instruction multiplies by four broadcast inputs and adds up for 16 rows.
//
// The eight chunks of a block of b-bit codes are stored as planes, one for each of the powers of
// two that b is the sum of, widest first. A plane of w bits is w vectors of a chunk's size; a byte
// of vector z holds the parts of 8 / w chunks, z * (8 / w) in its lowest bits. So 4 bits are
// unpacked by a mask and a shift, and 6 bits are those and two more.
#pragma once

#include <cstdint>
#include <type_traits>

#include "pith/form/matrix.h"

namespace pith::form {

inline constexpr uint64_t kPanelRows = 16;
inline constexpr uint64_t kBlockCols = 32;
// Bytes of a chunk of whole panels, and chunks of a block.
inline constexpr uint64_t kChunk = 64, kChunks = 8;

constexpr uint64_t panel_blocks(uint64_t cols) {
  return cols / kBlockCols + (cols % kBlockCols != 0);
}
constexpr uint64_t panels_of(uint64_t rows) { return rows / kPanelRows + (rows % kPanelRows != 0); }

// Bytes of one row's share; a panel has that many times its rows.
constexpr uint64_t panel_row_bytes(uint64_t cols, int bits) {
  return panel_blocks(cols) * 4 * static_cast<uint64_t>(bits);
}

// Calls f with std::integral_constant<int, bits>, for loops that are compiled for each width.
template <class Function>
void with_constant_bits(int bits, const Function& f) {
  switch (bits) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 5:
      return f(std::integral_constant<int, 5>());
    case 6:
      return f(std::integral_constant<int, 6>());
    case 7:
      return f(std::integral_constant<int, 7>());
    default:
      return f(std::integral_constant<int, 8>());
  }
}

// A panel of codes.
struct Panel {
  const uint8_t* codes = nullptr;
  int bits = 4;
  uint64_t rows = kPanelRows, cols = 0;
};

// Packs up to 16 rows of codes below 2^bits, one a byte, `stride` bytes from row to row.
void pack_panel(const uint8_t* codes, uint64_t stride, uint64_t rows, uint64_t cols, int bits,
                uint8_t* packed);

// The chunks of all blocks, one code a byte: 8 chunks of 64 bytes a block, whatever the panel's
// rows; bytes of rows that are not there are zero.
void unpack_panel(const Panel& panel, uint8_t* chunks);

// The code of a row and column in unpacked chunks.
constexpr uint64_t chunk_index(uint64_t row, uint64_t col) {
  return col / 4 * kChunk + row * 4 + col % 4;
}

}  // namespace pith::form
