// Products with rows of packed codes, without a row being decoded.
#pragma once

#include <cstdint>

#include "pith/form/matrix.h"

namespace pith::form {

// One row of codes with equally spaced levels: element = scale * (code - middle) + zero, with a
// scale and zero for each block of 64.
struct CodedRow {
  const uint8_t* codes = nullptr;  // code_row_bytes(cols, bits)
  int bits = 4;
  float middle = 0;
  const float *scales = nullptr, *zeros = nullptr;  // for each block; zeros may be null
};

// sums[b] = the row times vector b of the batch, of `cols` elements.
void multiply_row(const CodedRow& row, uint64_t cols, MatrixView vectors, float* sums);

}  // namespace pith::form
