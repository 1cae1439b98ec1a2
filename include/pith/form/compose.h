// Forms made of forms that were fitted beforehand, as the operators of the notation make them.
//
//   const FormPtr w = sum_of({quantized, lowrank_of(left, right)});   // uniform(…) + lowrank(…)
#pragma once

#include <vector>

#include "pith/form/form.h"

namespace pith::form {

// a + b + …: terms of one shape; sums among them give their terms. One term alone is itself. Throws
// ErrorKind::kUsage for terms of different shapes or none.
FormPtr sum_of(const std::vector<FormPtr>& terms);

// a * b * …, applied from the right: each has as many columns as the next one rows, at least two.
// Throws ErrorKind::kUsage where they do not meet.
FormPtr product_of(std::vector<FormPtr> factors);

// lowrank(r, factors=…): rows x r and r x cols, both of the same form but for their shape. Throws
// ErrorKind::kUsage otherwise.
FormPtr lowrank_of(FormPtr left, FormPtr right);

// `scale | inner`: column c is that of inner times scales[c], which become f16. Throws
// ErrorKind::kUsage unless there is one for each column, finite and not zero as f16.
FormPtr scaled_columns(std::vector<float> scales, FormPtr inner);

}  // namespace pith::form
