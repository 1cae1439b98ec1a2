// What a GGUF file can hold of a form: elements of one of its types, rows one after the other.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

struct GgmlTensor {
  DType type = DType::kF32;
  Buffer data;  // shape.rows rows
};

// The form in a type that decodes to the same floats: dense and ggml forms as they
// lie, uniform forms with the blocks that hold them. Nothing where there is no such type.
std::optional<GgmlTensor> as_ggml(const Form& form);

// Types that a matrix can be encoded to for GGUF: f32, f16, bf16 and the block types that ggml(...)
// knows.
bool is_ggml_target(DType type);

// A matrix in such a type: dense(type) or ggml(type). Throws as encode() does.
Buffer to_ggml(DType type, MatrixView matrix);

}  // namespace pith::form
