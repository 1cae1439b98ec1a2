// Tensors of model files as forms, used where they lie.
#pragma once

#include <optional>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

// Whether from_tensor() takes this type: f32, f16, bf16, and the GGML blocks Q4_0, Q4_1, Q5_0,
// Q5_1, Q8_0, Q2_K to Q6_K, Q8_K, IQ4_NL, IQ4_XS, MXFP4, TQ1_0 and TQ2_0.
bool is_tensor_type(DType type);

// What from_tensor() gives for it: dense(bf16), ggml(q4_K). Nothing for types that it refuses.
std::optional<Expression> tensor_expression(DType type);

// Rows of elements, or of whole blocks, with no alignment asked. Throws ErrorKind::kData for other
// types, and for values that do not fill the shape.
FormPtr from_tensor(DType type, Shape shape, Buffer values);

}  // namespace pith::form
