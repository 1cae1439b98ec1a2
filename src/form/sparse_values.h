// The values of kept elements where rows keep different numbers of them: one long vector, folded
// into lines so that parts of it can be decoded.
#pragma once

#include <vector>

#include "pith/base/dtype.h"
#include "pith/form/arguments.h"
#include "pith/form/form.h"

namespace pith::form {

// Values as kernels read them, one after the other.
struct PackedValues {
  const uint8_t* data = nullptr;
  DType type = DType::kF32;  // f32, f16 or bf16
  uint64_t readable = 0;     // values from `data` to the end of memory that may be read
};

// n values in lines of 256, the last filled up with zeros; fewer than 256 in one line.
Shape folded(uint64_t n);
FormPtr encode_folded(const Expression& form, const std::vector<float>& values);

// The share of elements of largest size, row-major and rising, but zeros; ties go to the earlier.
std::vector<uint64_t> largest_elements(MatrixView matrix, double share);
std::vector<float> gathered(MatrixView matrix, const std::vector<uint64_t>& elements);

// Values first <= i < last of all that the form holds, row after row. Those of a dense form stay
// where they are, others are decoded into `scratch`.
PackedValues values_at(const Form& form, uint64_t first, uint64_t last,
                       std::vector<float>& scratch);

// The argument `values`: a form, where f16 (when it is left out), bf16 and f32 stand for dense
// ones; and how it is written again.
Expression values_argument(const Arguments& args);
void add_values_argument(const Form& values, std::vector<Argument>& args);

// Floats that a dense f16 form can hold: larger ones become the largest, as infinities would be
// refused by whoever reads them.
void clamp_for(const Expression& form, std::vector<float>& values);

}  // namespace pith::form
