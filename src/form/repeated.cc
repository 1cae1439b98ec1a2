#include "repeated.h"

#include <algorithm>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "segment_kernel.h"
#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr int64_t kMostLength = 1 << 20;

uint64_t runs(uint64_t cols, uint64_t length) { return cols / length + (cols % length != 0); }

}  // namespace

RepeatedForm::RepeatedForm(Shape shape, FormPtr values)
    : Form(shape),
      height_(values->shape().rows),
      length_(values->shape().cols),
      values_(std::move(values)) {
  if (length_ == 0 || shape.rows != checked_mul(runs(shape.cols, length_), height_)) {
    fail(ErrorKind::kData, "repeated: a block that does not fit the matrix");
  }
}

Expression RepeatedForm::expression() const {
  std::vector<Argument> args = {{"", Value(length_)}};
  add_values_argument(*values_, args);
  return Expression::call("repeated", std::move(args));
}

void RepeatedForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::fill_n(out, (last - first) * cols, 0.0f);
  if (first == last) return;
  const Matrix block = form::decode(*values_);
  for (uint64_t r = first; r < last; ++r) {
    const uint64_t at = r / height_ * length_;
    const auto from = block.view().row(r % height_).first(std::min(length_, cols - at));
    std::ranges::copy(from, out + (r - first) * cols + at);
  }
}

void RepeatedForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                            uint64_t stride) const {
  for (uint64_t b = 0; b < x.batch(); ++b) std::fill_n(out + b * stride, last - first, 0.0f);
  if (first == last) return;
  const MatrixView v = x.vectors();
  const Matrix block = form::decode(*values_);
  for (uint64_t r = first; r < last;) {
    const uint64_t run = r / height_, next = std::min(last, (run + 1) * height_);
    add_products({block.values.data() + r % height_ * length_, next - r, length_},
                 {v.data + run * length_, v.shape.rows, v.shape.cols},
                 std::min(length_, shape().cols - run * length_), out + (r - first), stride);
    r = next;
  }
}

void RepeatedForm::write_body(BodyWriter& to) const { to.form(*values_); }

FormPtr RepeatedForm::read(Shape shape, BodyReader& in) {
  FormPtr values = in.form();
  // No larger than the matrix: it is decoded whole.
  if (values->shape().cols > kMostLength || values->shape().rows > shape.rows ||
      (shape.cols > 0 && values->shape().cols / 2 > shape.cols)) {
    in.bad("a block that cannot be");
  }
  return std::make_shared<RepeatedForm>(shape, std::move(values));
}

FormPtr RepeatedForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"length", "values"});
  const Expression values = values_argument(args);
  require_finite(matrix, "repeated");
  const Shape shape = matrix.shape;
  const auto length = std::min(static_cast<uint64_t>(args.integer("length", 1, kMostLength)),
                               std::max<uint64_t>(shape.cols, 1));
  const uint64_t n = runs(shape.cols, length);
  if (n == 0 ? shape.rows != 0 : shape.rows % n != 0) {
    throw call.place().error(
        ErrorKind::kUsage,
        fmt::format("repeated: {} rows are not shared evenly by {} blocks", shape.rows, n));
  }
  Matrix block({n == 0 ? 0 : shape.rows / n, length});
  for (uint64_t r = 0; r < block.shape.rows; ++r) {
    for (uint64_t c = 0; c < length; ++c) {
      double sum = 0;
      uint64_t there = 0;
      for (uint64_t i = 0; i < n && i * length + c < shape.cols; ++i, ++there) {
        sum += matrix.row(i * block.shape.rows + r)[i * length + c];
      }
      block.row(r)[c] = static_cast<float>(sum / static_cast<double>(there));
    }
  }
  clamp_for(values, block.values);
  return std::make_shared<RepeatedForm>(shape, form::encode(values, block.view()));
}

}  // namespace pith::form
