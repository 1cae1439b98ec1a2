#include "basis.h"

#include <algorithm>
#include <array>

#include "hadamard.h"
#include "pca_basis.h"
#include "permutation.h"
#include "pith/form/named.h"
#include "row_sums.h"
#include "scale_basis.h"
#include "storage.h"
#include "transform_basis.h"

namespace pith::form {
namespace {

constexpr std::array kBases = {
    BasisKind{"hadamard", HadamardBasis::read, HadamardBasis::make},
    BasisKind{"dct", DctBasis::read, DctBasis::make},
    BasisKind{"wavelet", WaveletBasis::read, WaveletBasis::make},
    BasisKind{"pca", PcaBasis::read, PcaBasis::make},
    BasisKind{"permutation", PermutationBasis::read, PermutationBasis::make},
    BasisKind{"scale", ScaleBasis::read, ScaleBasis::make},
};

}  // namespace

const BasisKind* find_basis(std::string_view name) { return find_named(kBases, name); }

BasisPtr make_basis(const Expression& call, MatrixView matrix) {
  const BasisKind* kind = call.is_call() ? find_basis(call.name()) : nullptr;
  if (!kind)
    throw call.place().error(ErrorKind::kUsage, fmt::format("no basis is called `{}`; there are {}",
                                                            to_string(call), names_of(kBases)));
  return kind->make(call, matrix);
}

BasisForm::BasisForm(BasisPtr basis, FormPtr inner)
    : Form(inner->shape()), basis_(std::move(basis)), inner_(std::move(inner)) {
  if (basis_->size() != shape().cols)
    fail(ErrorKind::kUsage, "a basis of another size than its form");
}

Expression BasisForm::expression() const {
  return Expression::basis(basis_->expression(), inner_->expression());
}

void BasisForm::decode(uint64_t first, uint64_t last, float* out) const {
  inner_->decode(first, last, out);
  for (uint64_t r = first; r < last; ++r) basis_->back(out + (r - first) * shape().cols);
}

void BasisForm::prepare(Activations& x) const {
  Activations& changed = x.derive(*this, [&](MatrixView vectors) {
    Matrix m(vectors.shape);
    std::copy_n(vectors.data, vectors.shape.size(), m.values.begin());
    for (uint64_t b = 0; b < m.shape.rows; ++b) basis_->forward(m.row(b).data());
    return m;
  });
  inner_->prepare(changed);
}

void BasisForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const {
  inner_->multiply(x.derived(*this), first, last, out, stride);
}

void BasisForm::add_rows(const RowSums& sums) const {
  Matrix made = sums_of(*inner_, sums.weights, sums.weight_stride, sums.batch);
  for (uint64_t b = 0; b < sums.batch; ++b) basis_->back(made.row(b).data());
  add_sums(made, sums);
}

void BasisForm::write_body(BodyWriter& to) const {
  to.string(basis_->kind());
  basis_->write_body(to);
  to.form(*inner_);
}

FormPtr BasisForm::read(Shape shape, BodyReader& in) {
  const std::string name = in.string();
  const BasisKind* kind = find_basis(name);
  if (!kind) in.bad(fmt::format("no basis is called '{}'; a newer Pith may have written it", name));
  BasisPtr basis = kind->read(shape.cols, in);
  FormPtr inner = in.form();
  if (inner->shape() != shape) in.bad("a form that does not fit its basis");
  return std::make_shared<BasisForm>(std::move(basis), std::move(inner));
}

FormPtr BasisForm::encode(const Expression& expression, MatrixView matrix) {
  const Expression &name = expression.operands()[0], &inner = expression.operands()[1];
  BasisPtr basis = make_basis(name, matrix);
  Matrix changed(matrix.shape);
  std::copy_n(matrix.data, matrix.shape.size(), changed.values.begin());
  for (uint64_t r = 0; r < changed.shape.rows; ++r) basis->change(changed.row(r).data());
  return std::make_shared<BasisForm>(std::move(basis), form::encode(inner, changed.view()));
}

}  // namespace pith::form
