#include "exponent.h"

#include <algorithm>
#include <limits>

#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

// Bits of a code; none where the elements are stored as they are.
constexpr uint64_t kPlainBits = 0, kCodeBits = 3;

Expression coded(DType type) {
  const std::string name(info(type).name);
  return Expression::coder(Expression::call("dense", {{"", Expression::call(name)}}),
                           Expression::call("exponent"));
}

DType type_of(bool half) { return half ? DType::kF16 : DType::kBF16; }

uint64_t table_bytes(uint64_t rows, uint64_t table_rows) {
  return (rows / table_rows + (rows % table_rows != 0)) * kTableBytes;
}

}  // namespace

ExponentForm::ExponentForm(Shape shape, Arrays arrays) : Form(shape), arrays_(std::move(arrays)) {}

Expression ExponentForm::expression() const { return coded(type_of(arrays_.half)); }

ExponentRows ExponentForm::rows() const {
  return {.half = arrays_.half,
          .cols = shape().cols,
          .table_rows = arrays_.table_rows,
          .tables = arrays_.tables.data(),
          .starts = arrays_.starts.data(),
          .blocks = arrays_.blocks.data(),
          .escapes = arrays_.escapes.data(),
          .escape_count = arrays_.escapes.size() - kEscapePadding};
}

void ExponentForm::decode(uint64_t first, uint64_t last, float* out) const {
  decode_exponent_rows(rows(), first, last, out);
}

void ExponentForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                            uint64_t stride) const {
  multiply_exponent_rows(rows(), first, last, x.vectors(), out, stride);
}

void ExponentForm::write_body(BodyWriter& to) const {
  to.varint(kCodeBits);
  to.varint(static_cast<uint64_t>(type_of(arrays_.half)));
  to.varint(arrays_.table_rows);
  to.varint(arrays_.escapes.size() - kEscapePadding);
  to.array(arrays_.tables.bytes);
  to.array(arrays_.starts.bytes);
  to.array(arrays_.blocks.bytes);
  to.array(arrays_.escapes.bytes);
}

FormPtr ExponentForm::read(Shape shape, BodyReader& in) {
  const uint64_t width = in.varint(0, kCodeBits, "bits of a code");
  if (width == kPlainBits) {
    auto dense = std::dynamic_pointer_cast<const DenseForm>(DenseForm::read(shape, in));
    if (dense->type() == DType::kF32) in.bad("exponent codes of a type that has none");
    return std::make_shared<PlainExponentForm>(std::move(dense));
  }
  if (width != kCodeBits) in.bad("exponent codes of a width that is not known");
  if (shape.rows == 0) in.bad("exponent codes of nothing");
  const auto type = static_cast<DType>(in.varint(0, 255, "type"));
  if (type != DType::kF16 && type != DType::kBF16) in.bad("exponent codes of a type that has none");
  Arrays a;
  a.half = type == DType::kF16;
  a.table_rows = in.varint(1, shape.rows, "rows of a table");
  const uint64_t escapes = in.varint(0, std::numeric_limits<uint32_t>::max(), "escapes");
  a.tables = in.array(table_bytes(shape.rows, a.table_rows));
  a.starts = in.array(checked_mul(shape.rows, sizeof(uint32_t)));
  a.blocks = in.array(checked_mul(shape.rows, exponent_row_bytes(shape.cols, a.half)));
  a.escapes = in.array(escapes + kEscapePadding);
  const ByteView padding = a.escapes.bytes.last(kEscapePadding);
  if (std::ranges::any_of(padding, [](uint8_t b) { return b != 0; }))
    in.bad("padding that is not zero");
  return std::make_shared<ExponentForm>(shape, std::move(a));
}

FormPtr ExponentForm::code(const Expression& coder, const FormPtr& form) {
  const Arguments none(coder, std::initializer_list<std::string_view>{});
  auto dense = std::dynamic_pointer_cast<const DenseForm>(form);
  if (!dense || dense->type() == DType::kF32) {
    throw coder.place().error(ErrorKind::kUsage,
                              fmt::format("exponent codes dense(bf16) and dense(f16), not `{}`",
                                          to_string(form->expression())));
  }
  const Shape shape = dense->shape();
  if (shape.size() == 0) return std::make_shared<PlainExponentForm>(std::move(dense));
  const ExponentTables tables = choose_exponent_tables(*dense);
  const uint64_t row = exponent_row_bytes(shape.cols, dense->type() == DType::kF16);
  const uint64_t bytes = tables.tables.size() + shape.rows * (row + sizeof(uint32_t)) +
                         tables.escapes + kEscapePadding;
  if (bytes >= dense->values().size() || tables.escapes > std::numeric_limits<uint32_t>::max())
    return std::make_shared<PlainExponentForm>(std::move(dense));
  return std::make_shared<ExponentForm>(shape, exponent_codes(*dense, tables));
}

PlainExponentForm::PlainExponentForm(std::shared_ptr<const DenseForm> dense)
    : Form(dense->shape()), dense_(std::move(dense)) {}

Expression PlainExponentForm::expression() const { return coded(dense_->type()); }

void PlainExponentForm::decode(uint64_t first, uint64_t last, float* out) const {
  dense_->decode(first, last, out);
}

void PlainExponentForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                                 uint64_t stride) const {
  dense_->multiply(x, first, last, out, stride);
}

void PlainExponentForm::write_body(BodyWriter& to) const {
  to.varint(kPlainBits);
  dense_->write_body(to);
}

}  // namespace pith::form
