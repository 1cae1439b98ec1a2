// Elements of every floating-point type, to and from float.
//
//   std::vector<float> values(n);
//   floats_from(raw, DType::kBF16, false, values.data());
//   elements_from(values, DType::kBF16, false, raw);
//
// Types: f64, f32, f16, bf16, f8_e4m3, f8_e5m2 and their FNUZ variants (has_float_elements()).
#pragma once

#include <span>

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"

namespace pith {

bool has_float_elements(DType dtype);

// `out` gets raw.size() / element size floats; raw.size() is a multiple of that. Exact but for f64,
// which is rounded to nearest. `big_endian`: elements begin with their most significant byte.
void floats_from(ByteView raw, DType dtype, bool big_endian, float* out);

// The nearest element, of two equally near ones the one with an even mantissa. A finite value
// beyond the largest finite element becomes that, so that nothing turns infinite; an infinity stays
// one or, in a type without infinities, becomes NaN. `out` has values.size() elements.
void elements_from(std::span<const float> values, DType dtype, bool big_endian,
                   MutableByteView out);

}  // namespace pith
