#include "transpose.h"

#include <algorithm>

#include "float_rows.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/form/transpose.h"
#include "storage.h"

namespace pith::form {
namespace {

// Floats of the other form that are decoded at a time, if a row is not longer.
constexpr uint64_t kTile = 64 << 10;

}  // namespace

TransposeForm::TransposeForm(FormPtr inner)
    : Form({inner->shape().cols, inner->shape().rows}), inner_(std::move(inner)) {}

Expression TransposeForm::expression() const {
  return Expression::call("transpose", {{"", Value(inner_->expression())}});
}

void TransposeForm::decode(uint64_t first, uint64_t last, float* out) const {
  const auto [rows, cols] = inner_->shape();
  if (first == last || rows == 0) return;
  const uint64_t tile = std::clamp<uint64_t>(kTile / cols, 1, rows);
  std::vector<float> some(tile * cols);
  for (uint64_t r = 0; r < rows; r += tile) {
    const uint64_t end = std::min(rows, r + tile);
    inner_->decode(r, end, some.data());
    for (uint64_t c = first; c < last; ++c) {
      float* to = out + (c - first) * rows;
      for (uint64_t i = r; i < end; ++i) to[i] = some[(i - r) * cols + c];
    }
  }
}

// A product with this is the sum of the other's rows, weighted by the input.
void TransposeForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                             uint64_t stride) const {
  const MatrixView v = x.vectors();
  const uint64_t rows = shape().rows, batch = v.shape.rows;
  const bool all = first == 0 && last == rows;
  std::vector<float> whole(all ? 0 : batch * rows);
  float* sums = all ? out : whole.data();
  const uint64_t apart = all ? stride : rows;
  for (uint64_t b = 0; b < batch; ++b) std::fill_n(sums + b * apart, rows, 0.0f);
  inner_->add_rows({v.data, v.shape.cols, batch, sums, apart});
  if (all) return;
  for (uint64_t b = 0; b < batch; ++b) {
    std::copy(sums + b * rows + first, sums + b * rows + last, out + b * stride);
  }
}

// The other form's rows times the weights.
void TransposeForm::add_rows(const RowSums& sums) const {
  const auto [rows, cols] = inner_->shape();
  if (rows == 0 || cols == 0) return;
  Matrix weights({sums.batch, cols});
  for (uint64_t b = 0; b < sums.batch; ++b) {
    std::copy_n(sums.weights + b * sums.weight_stride, cols, weights.row(b).data());
  }
  const uint64_t tile = std::clamp<uint64_t>(kTile / cols, 1, rows);
  std::vector<float> some(tile * cols), made(sums.batch * tile);
  for (uint64_t r = 0; r < rows; r += tile) {
    const uint64_t n = std::min(tile, rows - r);
    inner_->decode(r, r + n, some.data());
    multiply_floats({DType::kF32, reinterpret_cast<const uint8_t*>(some.data()), n, cols},
                    weights.view(), made.data(), tile);
    for (uint64_t b = 0; b < sums.batch; ++b) {
      float* to = sums.out + b * sums.stride + r;
      for (uint64_t i = 0; i < n; ++i) to[i] += made[b * tile + i];
    }
  }
}

uint64_t TransposeForm::part_begin(const Activations&, uint64_t part, uint64_t) const {
  return part == 0 ? 0 : shape().rows;
}

void TransposeForm::write_body(BodyWriter& to) const { to.form(*inner_); }

FormPtr TransposeForm::read(Shape shape, BodyReader& in) {
  FormPtr inner = in.form();
  if (inner->shape() != Shape{shape.cols, shape.rows}) in.bad("a form of another shape");
  return std::make_shared<TransposeForm>(std::move(inner));
}

FormPtr TransposeForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"form"});
  const Expression inner = args.expression("form");
  Matrix turned({matrix.shape.cols, matrix.shape.rows});
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    for (uint64_t c = 0; c < matrix.shape.cols; ++c) turned.row(c)[r] = matrix.row(r)[c];
  }
  return transpose_of(form::encode(inner, turned.view()));
}

FormPtr transpose_of(FormPtr form) { return std::make_shared<TransposeForm>(std::move(form)); }

const Form* transposed(const Form& form) {
  const auto* t = dynamic_cast<const TransposeForm*>(&form);
  return t ? &t->inner() : nullptr;
}

}  // namespace pith::form
