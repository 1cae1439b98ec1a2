#include "pith/form/compose.h"

#include "pith/base/error.h"
#include "product.h"
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

}  // namespace pith::form
