// A form of a matrix that is stored the other way round than it is fitted: a file that has a row
// for each input, while codes, scales and ranks go by outputs x inputs.
//
//   const FormPtr stored = transpose_of(fitted);   // transpose(uniform(4, group=64))
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// `transpose(form)`: columns of the form are rows of this one.
FormPtr transpose_of(FormPtr form);

// What a transpose stands for the other way round; null for other forms. A few rows of a transpose
// take as long to decode as all of them.
const Form* transposed(const Form& form);

}  // namespace pith::form
