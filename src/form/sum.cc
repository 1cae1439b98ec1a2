#include "sum.h"

#include <algorithm>

#include "row_sums.h"
#include "storage.h"

namespace pith::form {

SumForm::SumForm(std::vector<FormPtr> terms)
    : Form(terms.at(0)->shape()), terms_(std::move(terms)) {
  const auto fits = [&](const FormPtr& t) { return t->shape() == shape() && t->kind() != kind(); };
  if (terms_.size() < 2 || !std::ranges::all_of(terms_, fits)) {
    fail(ErrorKind::kUsage, "sum: terms of different shapes, or fewer than two");
  }
}

Expression SumForm::expression() const {
  std::vector<Expression> terms;
  for (const FormPtr& t : terms_) terms.push_back(t->expression());
  return Expression::sum(std::move(terms));
}

void SumForm::decode(uint64_t first, uint64_t last, float* out) const {
  terms_[0]->decode(first, last, out);
  std::vector<float> other((last - first) * shape().cols);
  for (size_t t = 1; t < terms_.size(); ++t) {
    terms_[t]->decode(first, last, other.data());
    for (size_t i = 0; i < other.size(); ++i) out[i] += other[i];
  }
}

void SumForm::prepare(Activations& x) const {
  for (const FormPtr& t : terms_) t->prepare(x);
}

void SumForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                       uint64_t stride) const {
  terms_[0]->multiply(x, first, last, out, stride);
  const uint64_t rows = last - first;
  std::vector<float> other(x.batch() * rows);
  for (size_t t = 1; t < terms_.size(); ++t) {
    terms_[t]->multiply(x, first, last, other.data(), rows);
    for (uint64_t b = 0; b < x.batch(); ++b) {
      for (uint64_t r = 0; r < rows; ++r) out[b * stride + r] += other[b * rows + r];
    }
  }
}

void SumForm::add_rows(const RowSums& sums) const {
  for (const FormPtr& t : terms_) t->add_rows(sums);
}

Direct SumForm::direct() const { return all_direct(terms_); }

void SumForm::write_body(BodyWriter& to) const {
  to.varint(terms_.size());
  for (const FormPtr& t : terms_) to.form(*t);
}

FormPtr SumForm::read(Shape shape, BodyReader& in) {
  std::vector<FormPtr> terms;
  for (uint64_t left = in.varint(2, kMaxNodes, "terms"); left > 0; --left) {
    terms.push_back(in.form());
    if (terms.back()->shape() != shape || terms.back()->kind() == "sum")
      in.bad("a term that does not fit its sum");
  }
  return std::make_shared<SumForm>(std::move(terms));
}

FormPtr SumForm::encode(const Expression& sum, MatrixView matrix) {
  Matrix left(matrix.shape);
  std::copy_n(matrix.data, matrix.shape.size(), left.values.begin());
  std::vector<FormPtr> terms;
  for (const Expression& term : sum.operands()) {
    terms.push_back(form::encode(term, left.view()));
    const Matrix got = form::decode(*terms.back());
    for (size_t i = 0; i < left.values.size(); ++i) left.values[i] -= got.values[i];
  }
  return std::make_shared<SumForm>(std::move(terms));
}

}  // namespace pith::form
