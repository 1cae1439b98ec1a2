// The inner loop of integer_stream.h's decoder: columns of one row.
#pragma once

#include <cstdint>

namespace pith::form {

struct IntegerRow {
  // Shared by all rows, see IntegerDecodeTables.
  const uint32_t* slots;
  const uint8_t *even_tables, *odd_tables, *low_bits;  // of classes, 64 each
  const int32_t* sorts;                                // of classes in even, then in odd states
  uint8_t feedback, input;                             // of the trellis
  bool trellis;
  // Of the columns.
  uint64_t cols;
  const int8_t* classes;
  const float* scales;
  uint8_t* states;
  // Of the row.
  int row_class;
  float row_scale;
  // Of the panel.
  uint64_t lanes;
  uint32_t* lane;
  const uint8_t *in, *in_end;
  float* out;  // null: nothing is written
};

// Decodes columns from the first on, as many as the instruction set and the rest of the stream
// allow, in whole groups; returns how many.
uint64_t decode_integer_columns(IntegerRow& row);

}  // namespace pith::form
