// Products of panels of codes with vectors of bytes; nothing is unpacked to memory.
#pragma once

#include <array>
#include <cstdint>

#include "panel.h"
#include "panel_floats.h"
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

// Whether the kernel has a loop for such codes whose scales are bytes.
constexpr bool reads_bytes(int bits, bool table) {
  return table ? bits == 4 : bits >= 2 && bits <= 6;
}

// totals[vector][16] += the products of blocks first_block <= b < last_block of a panel of 16 rows
// (pad_panel()) with vectors first_vector <= v < last_vector, where vector first_vector is the
// first of totals.
struct PanelProduct {
  Panel panel;
  const CodeLevels* levels = nullptr;
  // The first for the first column of first_block; unit is not in them. Where scales have bytes,
  // zeros have too.
  KernelScales scales, zeros;
  bool halves = false;  // groups are of 16 columns, not of 32
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

}  // namespace pith::form
