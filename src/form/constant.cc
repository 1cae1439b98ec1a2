#include "constant.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr double kMost = std::numeric_limits<float>::max();

}  // namespace

ConstantForm::ConstantForm(Shape shape, Spelling spelling, double value)
    : Form(shape), spelling_(spelling), value_(value) {}

Expression ConstantForm::expression() const {
  switch (spelling_) {
    case Spelling::kMean:
      return Expression::call("constant");
    case Spelling::kZeros:
      return Expression::call("zeros");
    default:
      return Expression::call("constant", {{"", value_}});
  }
}

void ConstantForm::decode(uint64_t first, uint64_t last, float* out) const {
  std::fill_n(out, (last - first) * shape().cols, static_cast<float>(value_));
}

// One number stands for a whole vector: the sum of its elements.
void ConstantForm::prepare(Activations& x) const {
  x.derive(*this, [](MatrixView vectors) {
    Matrix sums({vectors.shape.rows, 1});
    for (uint64_t b = 0; b < vectors.shape.rows; ++b) {
      double sum = 0;
      for (const float v : vectors.row(b)) sum += v;
      sums.values[b] = static_cast<float>(sum);
    }
    return sums;
  });
}

void ConstantForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                            uint64_t stride) const {
  const MatrixView sums = x.derived(*this).vectors();
  for (uint64_t b = 0; b < x.batch(); ++b)
    std::fill_n(out + b * stride, last - first, static_cast<float>(value_) * sums.data[b]);
}

void ConstantForm::add_rows(const RowSums& sums) const {
  for (uint64_t b = 0; b < sums.batch; ++b) {
    double sum = 0;
    for (uint64_t r = 0; r < shape().rows; ++r)
      sum += double{sums.weights[b * sums.weight_stride + r]};
    float* out = sums.out + b * sums.stride;
    for (uint64_t c = 0; c < shape().cols; ++c) out[c] += static_cast<float>(sum * value_);
  }
}

void ConstantForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(spelling_));
  to.varint(std::bit_cast<uint64_t>(value_));
}

FormPtr ConstantForm::read(Shape shape, BodyReader& in) {
  const auto spelling = static_cast<Spelling>(in.varint(0, 2, "spelling"));
  const auto value = std::bit_cast<double>(in.varint());
  if (!(std::fabs(value) <= kMost)) in.bad("a constant that is no float");
  return std::make_shared<ConstantForm>(shape, spelling, value);
}

FormPtr ConstantForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"value"});
  if (args.has("value")) {
    return std::make_shared<ConstantForm>(matrix.shape, Spelling::kGiven,
                                          args.number("value", -kMost, kMost));
  }
  require_finite(matrix, "constant");
  const uint64_t n = matrix.shape.size();
  double sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += matrix.data[i];
  const auto mean = static_cast<float>(n > 0 ? sum / static_cast<double>(n) : 0);
  return std::make_shared<ConstantForm>(matrix.shape, Spelling::kMean, mean);
}

FormPtr ConstantForm::encode_zeros(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {});
  return std::make_shared<ConstantForm>(matrix.shape, Spelling::kZeros, 0);
}

}  // namespace pith::form
