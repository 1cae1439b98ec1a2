#include "product.h"

#include <algorithm>
#include <cmath>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/math/svd.h"
#include "row_sums.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr int64_t kMostRank = 1 << 20;
constexpr uint64_t kMostFactors = 64;

// Why these are no factors of a product; empty if they are.
std::string fault(const std::vector<FormPtr>& factors, ProductForm::Spelling spelling) {
  if (factors.size() < 2) return "fewer than two factors";
  for (size_t i = 0; i < factors.size(); ++i) {
    if (factors[i]->kind() == "product") return "a product as factor of a product";
    if (i > 0 && factors[i - 1]->shape().cols != factors[i]->shape().rows)
      return "factors that do not meet";
  }
  const bool pair = factors.size() == 2 && factors[0]->expression() == factors[1]->expression();
  if (spelling == ProductForm::Spelling::kLowRank && !pair) return "factors of different forms";
  return "";
}

}  // namespace

bool is_orthonormal_kind(std::string_view kind) {
  return kind == "permutation" || kind == "dct" || kind == "wavelet";
}
bool is_square_kind(std::string_view kind) {
  return kind == "blockdiag" || is_orthonormal_kind(kind);
}

ProductForm::ProductForm(std::vector<FormPtr> factors, Spelling spelling)
    : Form({factors.at(0)->shape().rows, factors.back()->shape().cols}),
      factors_(std::move(factors)),
      spelling_(spelling) {
  const std::string why = fault(factors_, spelling);
  if (!why.empty()) fail(ErrorKind::kUsage, "product: {}", why);
}

Expression ProductForm::expression() const {
  if (spelling_ == Spelling::kLowRank) {
    return Expression::call("lowrank", {{"", Value(factors_[0]->shape().cols)},
                                        {"factors", Value(factors_[0]->expression())}});
  }
  std::vector<Expression> all;
  const auto is_general = [](const FormPtr& f) { return !is_square_kind(f->kind()); };
  auto left = std::ranges::count_if(factors_, is_general);
  for (const FormPtr& f : factors_) {
    all.push_back(f->expression());
    const uint64_t width = f->shape().cols;
    if (is_general(f) && --left > 0 && width != std::min(shape().rows, shape().cols))
      all.push_back(Expression::call("rank", {{"", Value(width)}}));
  }
  return Expression::product(std::move(all));
}

// Row by row through the factors, each decoded a row at a time.
void ProductForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t n = last - first;
  std::vector<float> rows(n * factors_[0]->shape().cols), next, line;
  factors_[0]->decode(first, last, rows.data());
  for (size_t i = 1; i < factors_.size(); ++i) {
    const Shape s = factors_[i]->shape();
    next.assign(n * s.cols, 0);
    line.resize(s.cols);
    for (uint64_t k = 0; k < s.rows; ++k) {
      factors_[i]->decode(k, k + 1, line.data());
      for (uint64_t r = 0; r < n; ++r) {
        const float factor = rows[r * s.rows + k];
        if (factor == 0) continue;
        for (uint64_t c = 0; c < s.cols; ++c) next[r * s.cols + c] += factor * line[c];
      }
    }
    rows.swap(next);
  }
  std::ranges::copy(rows, out);
}

void ProductForm::prepare(Activations& x) const {
  Activations* input = &x;
  for (size_t i = factors_.size() - 1; i > 0; --i) {
    const Form& f = *factors_[i];
    const uint64_t rows = f.shape().rows;
    input = &input->derive(*this, [&](MatrixView vectors) {
      f.prepare(*input);
      Matrix m({vectors.shape.rows, rows});
      if (!m.values.empty()) f.multiply(*input, 0, rows, m.values.data(), rows);
      return m;
    });
  }
  factors_[0]->prepare(*input);
}

void ProductForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  const Activations* input = &x;
  for (size_t i = 1; i < factors_.size(); ++i) input = &input->derived(*this);
  factors_[0]->multiply(*input, first, last, out, stride);
}

// From the left: each factor's sums are the weights of the next one's rows.
void ProductForm::add_rows(const RowSums& sums) const {
  Matrix made = sums_of(*factors_[0], sums.weights, sums.weight_stride, sums.batch);
  for (size_t i = 1; i + 1 < factors_.size(); ++i)
    made = sums_of(*factors_[i], made.values.data(), made.shape.cols, sums.batch);
  factors_.back()->add_rows(
      {made.values.data(), made.shape.cols, sums.batch, sums.out, sums.stride});
}

Direct ProductForm::direct() const { return all_direct(factors_); }

void ProductForm::write_body(BodyWriter& to) const {
  if (spelling_ == Spelling::kProduct) to.varint(factors_.size());
  for (const FormPtr& f : factors_) to.form(*f);
}

namespace {

FormPtr read_factors(uint64_t n, Shape shape, ProductForm::Spelling spelling, BodyReader& in) {
  std::vector<FormPtr> factors;
  for (; n > 0; --n) factors.push_back(in.form());
  const bool fits =
      factors.front()->shape().rows == shape.rows && factors.back()->shape().cols == shape.cols;
  if (!fits || !fault(factors, spelling).empty()) in.bad("factors that do not fit");
  return std::make_shared<ProductForm>(std::move(factors), spelling);
}

}  // namespace

FormPtr ProductForm::read(Shape shape, BodyReader& in) {
  return read_factors(in.varint(2, kMostFactors, "factors"), shape, Spelling::kProduct, in);
}

FormPtr ProductForm::read_lowrank(Shape shape, BodyReader& in) {
  return read_factors(2, shape, Spelling::kLowRank, in);
}

FormPtr ProductForm::encode_lowrank(const Expression& call, MatrixView matrix) {
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
  std::vector<FormPtr> both = {form::encode(factors, left.view()),
                               form::encode(factors, right.view())};
  return std::make_shared<ProductForm>(std::move(both), Spelling::kLowRank);
}

}  // namespace pith::form
