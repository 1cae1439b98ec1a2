// Products of few of GGML's rows with vectors of bytes, where the rows lie.
#pragma once

#include "code_rows.h"
#include "quantized_vectors.h"

namespace pith::form {

// out[v * stride + r] = the product of row r, of blocks (code_rows.h), and vector v.
void multiply_blocks(const CodeRows& rows, const QuantizedVectors& x, float* out, uint64_t stride);

}  // namespace pith::form
