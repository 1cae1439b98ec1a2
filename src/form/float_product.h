// Rows of floats times a batch of vectors: the product of every form that has no kernel of its own,
// and of dense ones.
//
// The sum of each product has one order, whatever the batch, the rows taken at a time and the
// width of the registers: the same bits on all instruction sets with a fused multiply and add
// (those without round twice).
#pragma once

#include <cstdint>

#include "pith/base/dtype.h"
#include "pith/form/matrix.h"

namespace pith::form {

struct FloatRows {
  DType type = DType::kF32;       // f32, f16 or bf16
  const uint8_t* data = nullptr;  // row-major, not necessarily aligned
  uint64_t rows = 0, cols = 0;
};

// out[b * stride + r] = dot(row r, vector b). A NaN may come out with other bits.
void multiply_floats(const FloatRows& rows, MatrixView vectors, float* out, uint64_t stride);

// n elements of f32, f16 or bf16 as floats, NaNs with all their bits.
void floats_of(DType type, const uint8_t* from, uint64_t n, float* out);

// Rows to decode at a time, so that they stay in the second cache while a batch goes over them.
uint64_t tile_rows(uint64_t cols, uint64_t batch);
// Memory for them, the thread's own, until it asks again: for kernels, which call no forms.
float* tile_memory(uint64_t floats);

}  // namespace pith::form
