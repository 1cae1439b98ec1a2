// Products of panels of codes with vectors of bytes, and panels as floats; nothing is unpacked to
// memory.
#pragma once

#include <array>
#include <cstdint>

#include "panel.h"
#include "quantized_vectors.h"

namespace pith::form {

// How codes become numbers.
struct CodeLevels {
  // element = (level(code) - middle) * unit * scale + zero, where level(code) is the code itself,
  // or what a table of 16 says: low[code] + 256 * high[code].
  int32_t middle = 0;
  float unit = 1;
  bool table = false, wide = false;  // wide: with the high bytes
  alignas(16) std::array<uint8_t, 16> low{}, high{};
};

// totals[vector][16] += the products of blocks first_block <= b < last_block of a panel of 16 rows
// (pad_panel()) with vectors first_vector <= v < last_vector, where vector first_vector is the
// first of totals.
struct PanelProduct {
  Panel panel;
  const CodeLevels* levels = nullptr;
  // [group][16], the first for the first column of first_block; unit is not in them.
  const float* scales = nullptr;
  const float* zeros = nullptr;  // null: none
  bool halves = false;           // groups are of 16 columns, not of 32
  const QuantizedVectors* x = nullptr;
  // -middle * sums of x, of halves or of whole blocks (bias_of()).
  const int32_t* bias = nullptr;
  uint64_t first_block = 0, last_block = 0;
  uint64_t first_vector = 0, last_vector = 0;
  float* totals = nullptr;
};
void multiply_panel(const PanelProduct& product);

// Copies a panel of fewer rows to one of 16; out: 64 bytes for each 4 * rows.
void pad_panel(const Panel& panel, uint8_t* out);

void bias_of(const QuantizedVectors::Sums& sums, int32_t middle, int32_t* bias);

// n floats of f16.
void floats_of_f16(const uint8_t* halves, uint64_t n, float* out);

// Groups of 16 small integers times floats: out[g][16] = (bytes[g][16] - middle) * by[k][16], where
// by[0] belongs to the first `begin` groups and each of the others to `each` of them.
struct ByteGroups {
  const uint8_t* bytes = nullptr;
  uint64_t groups = 0, begin = 0, each = 1;
  int32_t middle = 0;
  const float* by = nullptr;
};
void floats_of_bytes(const ByteGroups& from, float* out);

// Columns as floats, out[column][16]: (code - middle) * scale + zero, rounded after each step.
struct PanelColumns {
  Panel panel;  // of 16 rows
  int32_t middle = 0;
  uint64_t first_block = 0, last_block = 0;
  // [group][16], the first for the group of the first column of first_block; a group has a multiple
  // of four columns, and begins at a multiple of its size.
  const float* scales = nullptr;
  const float* zeros = nullptr;  // null: none
  uint64_t group = 4;
};
void decode_columns(const PanelColumns& columns, float* out);

}  // namespace pith::form
