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

// Appends a value that is one of the type's.
void append_scale(float v, DType type, Bytes& to);
float load_scale(const uint8_t* scales, uint64_t index, DType type);

}  // namespace pith::form
