// Forms made of forms that were fitted beforehand, as the operators of the notation make them.
//
//   const FormPtr w = sum_of({quantized, lowrank_of(left, right)});   // uniform(…) + lowrank(…)
#pragma once

#include <memory>
#include <span>
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

// tiles(…) of forms one below the other, all as wide as the first: the experts of a layer. One
// alone is itself. Throws ErrorKind::kUsage for other widths, none, or more than 1024.
FormPtr stack_of(const std::vector<FormPtr>& forms);
// Of a form that stack_of() made of `parts` of one height, one of them. Null for other forms.
FormPtr part_of_stack(const Form& stack, uint64_t part, uint64_t parts);

// `scale | inner`: column c is that of inner times scales[c], which become f16. Throws
// ErrorKind::kUsage unless there is one for each column, finite and not zero as f16.
FormPtr scaled_columns(std::vector<float> scales, FormPtr inner);

// `codebook(k, dim=…)`: entries, k of them with `dim` elements each, which become f16, and for each
// run of `dim` columns of each row the number of its entry. Throws ErrorKind::kUsage unless k is 2
// to 65536, dim 1 to 256, and there are as many codes as runs, all below k.
FormPtr codebook_of(Shape shape, uint64_t dim, std::span<const float> entries,
                    std::span<const uint16_t> codes);

// `zeros`, of next to no bytes whatever the shape.
FormPtr zeros(Shape shape);

class Basis;

// `basis | inner` in the making: what inner has to be, and the inputs that it will get.
class BasisFit {
 public:
  // The basis is fitted to the matrix. Throws ErrorKind::kUsage for what is no basis.
  BasisFit(const Expression& basis, MatrixView matrix);

  Matrix change(MatrixView rows) const;      // of the whole, to those of inner
  Matrix forward(MatrixView vectors) const;  // inputs of the whole, a vector a row
  FormPtr form(FormPtr inner) const;

 private:
  std::shared_ptr<const Basis> basis_;
};

}  // namespace pith::form
