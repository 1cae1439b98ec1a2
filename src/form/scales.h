// The floats beside codes: scales and zero points, one for each group, in a type of their own.
#pragma once

#include <span>
#include <string_view>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"

namespace pith::form {

// Types that scales may have: f32, f16, bf16, and powers of two (f8_e8m0).
bool is_scale_type(DType type);
uint64_t scale_bytes(DType type);

// The nearest value of the type that is finite.
float rounded_scale(float v, DType type);

// Appends the nearest value of the type; of f8_e8m0, v must be one.
void append_float(float v, DType type, Bytes& to);
float load_float(const uint8_t* floats, uint64_t index, DType type);
void load_floats(const uint8_t* floats, uint64_t n, DType type, float* out);

}  // namespace pith::form
