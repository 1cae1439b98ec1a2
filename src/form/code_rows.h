// Weighted sums of rows of small codes, straight from where these lie: what the softmax's weights
// make of values, and queries of keys whose rows are channels (of a cache, pith/kv/attention.h).
//
// Scales differ from row to row, so they go into the weights: the products of both are rounded to
// bytes, 7 bits of the largest for codes of up to 4 bits, 15 for others, each with what was lost of
// the row 16 before it. Sums are exact from there, so that all of it is the same on every
// instruction set, and a vector's result does not depend on those beside it.
#pragma once

#include <array>
#include <cstdint>

#include "panel.h"
#include "pith/form/form.h"

namespace pith::form {

// Rows that are summed at a time: their sums fit 32 bits.
inline constexpr uint64_t kCodeRows = 128;

// Element = (code - middle) * scale (+ zero).
struct CodeRows {
  enum class Layout : uint8_t {
    kPanels,
    kNibbleBlocks,  // GGML's blocks of 32 in a row, of an f16 and 16 bytes (Q4_0)
    kByteBlocks,    // or of an f16 and 32 signed bytes (Q8_0), which are the codes less 128
  };
  Layout layout = Layout::kPanels;
  uint64_t rows = 0, cols = 0;  // at most kCodeRows
  int32_t middle = 0;           // 0 to 128
  // Of panels (panel.h): each with 16 rows, of which those that are not there have scales of zero.
  int bits = 4;
  std::array<const uint8_t*, kCodeRows / kPanelRows> panels{};
  // Scales and zero points (or null) [panel][group][16]; groups of a multiple of 16 columns, or
  // one for all.
  uint64_t group = kBlockCols;
  const float *scales = nullptr, *zeros = nullptr;
  // Of blocks: the first row, and bytes from one to the next.
  const uint8_t* blocks = nullptr;
  uint64_t row_bytes = 0;
};

// out += weights * rows; NaN where weights or scales are not finite. False, and nothing is done, on
// machines without vectors.
bool add_code_rows(const CodeRows& rows, const RowSums& sums);

}  // namespace pith::form
