#include "pith/form/tensor.h"

#include "dense.h"
#include "ggml.h"
#include "pith/base/error.h"

namespace pith::form {

bool is_tensor_type(DType type) { return is_dense_type(type) || is_ggml_type(type); }

std::optional<Expression> tensor_expression(DType type) {
  if (!is_tensor_type(type)) return std::nullopt;
  return from_tensor(type, {0, info(type).block_elements}, Buffer())->expression();
}

FormPtr from_tensor(DType type, Shape shape, Buffer values) {
  if (is_dense_type(type)) return std::make_shared<DenseForm>(shape, type, std::move(values));
  if (is_ggml_type(type)) return std::make_shared<GgmlForm>(shape, type, std::move(values));
  fail(ErrorKind::kData, "no form computes with elements of type {}", info(type).name);
}

}  // namespace pith::form
