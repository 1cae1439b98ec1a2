#include "pith/form/compose.h"

#include <cmath>

#include "basis.h"
#include "pith/base/error.h"
#include "product.h"
#include "scale_basis.h"
#include "scales.h"
#include "sum.h"

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

FormPtr scaled_columns(std::vector<float> scales, FormPtr inner) {
  for (float& s : scales) {
    s = rounded_scale(s, DType::kF16);
    if (!std::isfinite(s) || s == 0) fail(ErrorKind::kUsage, "a scale that is zero or not finite");
  }
  return std::make_shared<BasisForm>(std::make_shared<ScaleBasis>(std::move(scales)),
                                     std::move(inner));
}

}  // namespace pith::form
