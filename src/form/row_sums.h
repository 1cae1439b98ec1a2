// Sums of rows on their way through forms inside of forms.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// The sums that vectors of weights make of a form's rows, a row for each vector.
inline Matrix sums_of(const Form& form, const float* weights, uint64_t stride, uint64_t batch) {
  Matrix sums({batch, form.shape().cols});
  form.add_rows({weights, stride, batch, sums.values.data(), sums.shape.cols});
  return sums;
}

inline void add_sums(const Matrix& made, const RowSums& to) {
  for (uint64_t b = 0; b < made.shape.rows; ++b) {
    const float* from = made.view().row(b).data();
    for (uint64_t c = 0; c < made.shape.cols; ++c) to.out[b * to.stride + c] += from[c];
  }
}

// What all of them do.
inline Direct all_direct(std::span<const FormPtr> forms) {
  Direct all{true, true};
  for (const FormPtr& f : forms) {
    const Direct d = f->direct();
    all.multiply = all.multiply && d.multiply;
    all.add_rows = all.add_rows && d.add_rows;
  }
  return all;
}

}  // namespace pith::form
