#include "lowrank.h"

#include <algorithm>
#include <cmath>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/math/svd.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr int64_t kMostRank = 1 << 20;

}  // namespace

LowRankForm::LowRankForm(FormPtr left, FormPtr right)
    : Form({left->shape().rows, right->shape().cols}),
      left_(std::move(left)),
      right_(std::move(right)) {
  if (left_->shape().cols != right_->shape().rows)
    fail(ErrorKind::kUsage, "lowrank: factors that do not meet");
}

// Both factors have the form of the left one: encode() makes them so.
Expression LowRankForm::expression() const {
  return Expression::call("lowrank",
                          {{"", Value(rank())}, {"factors", Value(left_->expression())}});
}

void LowRankForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::vector<float> left((last - first) * rank()), right(cols);
  left_->decode(first, last, left.data());
  std::fill_n(out, (last - first) * cols, 0.0f);
  for (uint64_t k = 0; k < rank(); ++k) {
    right_->decode(k, k + 1, right.data());
    for (uint64_t r = 0; r < last - first; ++r) {
      const float factor = left[r * rank() + k];
      for (uint64_t c = 0; c < cols; ++c) out[r * cols + c] += factor * right[c];
    }
  }
}

void LowRankForm::prepare(Activations& x) const {
  right_->prepare(x);
  Activations& middle = x.derive(*this, [&](MatrixView vectors) {
    Matrix m({vectors.shape.rows, rank()});
    if (!m.values.empty()) right_->multiply(x, 0, rank(), m.values.data(), rank());
    return m;
  });
  left_->prepare(middle);
}

void LowRankForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  left_->multiply(x.derived(*this), first, last, out, stride);
}

void LowRankForm::write_body(BodyWriter& to) const {
  to.form(*left_);
  to.form(*right_);
}

FormPtr LowRankForm::read(Shape shape, BodyReader& in) {
  FormPtr left = in.form(), right = in.form();
  const bool meet = left->shape().rows == shape.rows && right->shape().cols == shape.cols &&
                    left->shape().cols == right->shape().rows;
  if (!meet || left->expression() != right->expression()) in.bad("factors that do not fit");
  return std::make_shared<LowRankForm>(std::move(left), std::move(right));
}

FormPtr LowRankForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"rank", "factors"});
  const int64_t wanted = args.integer("rank", 0, kMostRank);
  const Expression factors = args.expression("factors", parse("dense(f16)"));
  require_finite(matrix, "lowrank");
  const Shape shape = matrix.shape;
  const uint64_t rank = std::min({static_cast<uint64_t>(wanted), shape.rows, shape.cols});
  const math::Svd svd = math::truncated_svd(matrix.data, shape.rows, shape.cols, rank);
  Matrix left({shape.rows, rank}), right({rank, shape.cols});
  for (uint64_t k = 0; k < rank; ++k) {
    const float root = std::sqrt(svd.s[k]);
    for (uint64_t r = 0; r < shape.rows; ++r) left.row(r)[k] = root * svd.u[r * rank + k];
    for (uint64_t c = 0; c < shape.cols; ++c) right.row(k)[c] = root * svd.v[k * shape.cols + c];
  }
  return std::make_shared<LowRankForm>(form::encode(factors, left.view()),
                                       form::encode(factors, right.view()));
}

}  // namespace pith::form
