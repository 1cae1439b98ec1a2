#include "ggml.h"

#include "code_blocks.h"
#include "ggml_panels.h"
#include "storage.h"

namespace pith::form {

GgmlForm::GgmlForm(Shape shape, DType type, Buffer blocks)
    : Form(shape), type_(type), blocks_(std::move(blocks)) {
  if (!is_ggml_type(type) || shape.cols % info(type).block_elements != 0 ||
      blocks_.size() != checked_mul(shape.rows, row_bytes())) {
    fail(ErrorKind::kData, "ggml: blocks that do not fill the shape");
  }
}

uint64_t GgmlForm::row_bytes() const {
  return shape().cols / info(type_).block_elements * info(type_).block_bytes;
}

Expression GgmlForm::expression() const {
  return Expression::call("ggml", {{"", Value(Expression::call(std::string(info(type_).name)))}});
}

void GgmlForm::decode(uint64_t first, uint64_t last, float* out) const {
  const DTypeInfo& t = info(type_);
  const uint64_t blocks = (last - first) * (shape().cols / t.block_elements);
  const uint8_t* from = blocks_.data() + first * row_bytes();
  for (uint64_t i = 0; i < blocks; ++i) {
    decode_ggml_block(type_, from + i * t.block_bytes, out + i * t.block_elements);
  }
}

// Tiles of a cache are many and multiplied once each: their blocks stay as they are.
bool GgmlForm::stays() const {
  return shape().rows <= kCodeRows && (type_ == DType::kQ4_0 || type_ == DType::kQ8_0);
}

CodeRows GgmlForm::rows(uint64_t first, uint64_t last) const {
  const bool bytes = type_ == DType::kQ8_0;
  CodeRows rows;
  rows.layout = bytes ? CodeRows::Layout::kByteBlocks : CodeRows::Layout::kNibbleBlocks;
  rows.rows = last - first;
  rows.cols = shape().cols;
  rows.middle = bytes ? 128 : 8;
  rows.blocks = blocks_.data() + first * row_bytes();
  rows.row_bytes = row_bytes();
  return rows;
}

void GgmlForm::prepare(Activations& x) const {
  if (stays()) return x.quantize();
  std::call_once(once_, [&] { panels_ = panels_of_ggml(type_, shape(), blocks_.bytes); });
  if (panels_) x.quantize();
}

void GgmlForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                        uint64_t stride) const {
  if (stays()) return multiply_blocks(rows(first, last), x.quantized(), out, stride);
  if (!panels_) return Form::multiply(x, first, last, out, stride);
  panels_->multiply(x.quantized(), first, last, out, stride);
}

Direct GgmlForm::direct() const { return {stays(), stays()}; }

void GgmlForm::add_rows(const RowSums& sums) const {
  if (type_ != DType::kQ4_0 && type_ != DType::kQ8_0) return Form::add_rows(sums);
  for (uint64_t r = 0; r < shape().rows; r += kCodeRows) {
    const CodeRows some = rows(r, std::min(shape().rows, r + kCodeRows));
    if (!add_code_rows(some, sums.from_row(r))) return Form::add_rows(sums);
  }
}

void GgmlForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(type_));
  to.array(blocks_.bytes);
}

FormPtr GgmlForm::read(Shape shape, BodyReader& in) {
  const DTypeInfo* t = find_dtype(static_cast<uint8_t>(in.varint(0, 255, "type")));
  if (!t || !is_ggml_type(t->dtype)) in.bad("blocks of a type that cannot be");
  if (shape.cols % t->block_elements != 0) in.bad("blocks that do not fill the rows");
  const uint64_t blocks = checked_mul(shape.rows, shape.cols / t->block_elements);
  return std::make_shared<GgmlForm>(shape, t->dtype, in.array(checked_mul(blocks, t->block_bytes)));
}

}  // namespace pith::form
