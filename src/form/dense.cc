#include "dense.h"

#include "float_product.h"
#include "float_rows.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"

namespace pith::form {
namespace {

uint64_t values_size(Shape shape, DType type) {
  return checked_mul(checked_mul(shape.rows, shape.cols), info(type).block_bytes);
}

Bytes converted(MatrixView matrix, DType type) {
  Bytes out;
  out.reserve(values_size(matrix.shape, type));
  for (uint64_t i = 0; i < matrix.shape.size(); ++i) append_float(matrix.data[i], type, out);
  return out;
}

}  // namespace

bool is_dense_type(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

DenseForm::DenseForm(Shape shape, DType type, Buffer values)
    : Form(shape), type_(type), values_(std::move(values)) {
  if (values_.size() != values_size(shape, type))
    fail(ErrorKind::kData, "dense: values of the wrong size");
}

Expression DenseForm::expression() const {
  return Expression::call("dense", {{"", Expression::call(std::string(info(type_).name))}});
}

void DenseForm::decode(uint64_t first, uint64_t last, float* out) const {
  floats_of(type_, row(first), (last - first) * shape().cols, out);
}

void DenseForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const {
  multiply_floats({type_, row(first), last - first, shape().cols}, x.vectors(), out, stride);
}

void DenseForm::add_rows(const RowSums& sums) const {
  add_float_rows({type_, values_.data(), shape().rows, shape().cols}, sums);
}

void DenseForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(type_));
  to.array(values_.bytes);
}

FormPtr DenseForm::read(Shape shape, BodyReader& in) {
  const DTypeInfo* type = find_dtype(static_cast<uint8_t>(in.varint(0, 255, "type")));
  if (!type || !is_dense_type(type->dtype)) in.bad("dense elements of a type that cannot be");
  return std::make_shared<DenseForm>(shape, type->dtype, in.array(values_size(shape, type->dtype)));
}

FormPtr DenseForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"type"});
  const DTypeInfo* type = find_dtype(args.name("type", "f32"));
  if (!type || !is_dense_type(type->dtype)) throw args.wrong("type", "f32, f16 or bf16");
  return std::make_shared<DenseForm>(matrix.shape, type->dtype,
                                     Buffer(converted(matrix, type->dtype)));
}

}  // namespace pith::form
