// Scales of groups and columns of panels as floats.
#pragma once

#include <cstdint>

#include "panel.h"

namespace pith::form {

// Scales or zero points of groups, [group][16]: floats, or bytes times floats, which are
// ((bytes[g][16] & mask) - middle) * floats[k][16], where floats[0] belongs to the first `begin`
// groups and each of the others to `each` of them.
struct KernelScales {
  const float* floats = nullptr;  // null: none
  const uint8_t* bytes = nullptr;
  uint64_t begin = 0, each = 1;
  int32_t middle = 0;
  uint8_t mask = 0xFF;
};

// n floats of f16.
void floats_of_f16(const uint8_t* halves, uint64_t n, float* out);

// Those of n groups that have bytes, as floats, out[group][16].
void floats_of_groups(const KernelScales& from, uint64_t n, float* out);

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
