#include "pith/form/compose.h"

#include <algorithm>
#include <cmath>

#include "basis.h"
#include "constant.h"
#include "pith/base/error.h"
#include "product.h"
#include "scale_basis.h"
#include "scales.h"
#include "sum.h"
#include "tiles.h"

namespace pith::form {

FormPtr sum_of(const std::vector<FormPtr>& terms) {
  if (terms.empty()) fail(ErrorKind::kUsage, "a sum of nothing");
  if (terms.size() == 1) return terms[0];
  std::vector<FormPtr> flat;
  for (const FormPtr& t : terms) {
    if (const auto* sum = dynamic_cast<const SumForm*>(t.get())) {
      flat.insert(flat.end(), sum->terms().begin(), sum->terms().end());
    } else {
      flat.push_back(t);
    }
  }
  return std::make_shared<SumForm>(std::move(flat));
}

FormPtr product_of(std::vector<FormPtr> factors) {
  if (factors.size() < 2) fail(ErrorKind::kUsage, "a product of fewer than two factors");
  return std::make_shared<ProductForm>(std::move(factors));
}

FormPtr lowrank_of(FormPtr left, FormPtr right) {
  return std::make_shared<ProductForm>(std::vector{std::move(left), std::move(right)},
                                       ProductForm::Spelling::kLowRank);
}

FormPtr zeros(Shape shape) {
  return std::make_shared<ConstantForm>(shape, ConstantForm::Spelling::kZeros, 0);
}

FormPtr stack_of(const std::vector<FormPtr>& forms) {
  if (forms.empty()) fail(ErrorKind::kUsage, "a stack of nothing");
  if (forms.size() == 1) return forms[0];
  Shape shape{0, forms[0]->shape().cols};
  std::vector<TilesForm::Part> parts;
  for (const FormPtr& form : forms) {
    const auto top = static_cast<int64_t>(shape.rows);
    shape.rows = checked_add(shape.rows, form->shape().rows);
    if (form->shape().cols != shape.cols || shape.rows > INT64_MAX) {
      fail(ErrorKind::kUsage, "a stack of forms of different widths");
    }
    parts.push_back({{top, static_cast<int64_t>(shape.rows)}, {0, {}}, form});
  }
  return std::make_shared<TilesForm>(shape, std::move(parts));
}

FormPtr part_of_stack(const Form& stack, uint64_t part, uint64_t parts) {
  const auto* tiles = dynamic_cast<const TilesForm*>(&stack);
  const Shape shape = stack.shape();
  if (!tiles || part >= parts || tiles->parts().size() != parts || shape.rows % parts != 0) {
    return nullptr;
  }
  const TilesForm::Part& found = tiles->parts()[part];
  const uint64_t height = shape.rows / parts;
  const bool whole = found.cols == Range{0, {}} && found.form->shape() == Shape{height, shape.cols};
  return whole && found.rows.begin == static_cast<int64_t>(part * height) ? found.form : nullptr;
}

FormPtr scaled_columns(std::vector<float> scales, FormPtr inner) {
  for (float& s : scales) {
    s = rounded_scale(s, DType::kF16);
    if (!std::isfinite(s) || s == 0) fail(ErrorKind::kUsage, "a scale that is zero or not finite");
  }
  return std::make_shared<BasisForm>(std::make_shared<ScaleBasis>(std::move(scales)),
                                     std::move(inner));
}

BasisFit::BasisFit(const Expression& basis, MatrixView matrix)
    : basis_(make_basis(basis, matrix)) {}

Matrix BasisFit::change(MatrixView rows) const {
  Matrix changed(rows.shape);
  std::copy_n(rows.data, rows.shape.size(), changed.values.begin());
  for (uint64_t r = 0; r < changed.shape.rows; ++r) basis_->change(changed.row(r).data());
  return changed;
}

Matrix BasisFit::forward(MatrixView vectors) const {
  Matrix changed(vectors.shape);
  std::copy_n(vectors.data, vectors.shape.size(), changed.values.begin());
  for (uint64_t r = 0; r < changed.shape.rows; ++r) basis_->forward(changed.row(r).data());
  return changed;
}

FormPtr BasisFit::form(FormPtr inner) const {
  return std::make_shared<BasisForm>(basis_, std::move(inner));
}

}  // namespace pith::form
