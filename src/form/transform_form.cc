#include "transform_form.h"

#include <algorithm>

#include "row_sums.h"
#include "storage.h"
#include "transform_basis.h"

namespace pith::form {
namespace {

template <class B>
FormPtr read_transform(Shape shape, BodyReader& in) {
  if (shape.rows != shape.cols) in.bad("a transform that is not square");
  return std::make_shared<TransformForm>(B::read(shape.cols, in));
}

}  // namespace

// A row of Qᵀ is what Q makes of a unit vector.
void TransformForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t n = shape().cols;
  std::fill_n(out, (last - first) * n, 0.0f);
  for (uint64_t r = first; r < last; ++r, out += n) {
    out[r] = 1;
    basis_->forward(out);
  }
}

void TransformForm::prepare(Activations& x) const {
  x.derive(*this, [&](MatrixView vectors) {
    Matrix m(vectors.shape);
    std::copy_n(vectors.data, vectors.shape.size(), m.values.begin());
    for (uint64_t b = 0; b < m.shape.rows; ++b) basis_->back(m.row(b).data());
    return m;
  });
}

void TransformForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                             uint64_t stride) const {
  const MatrixView whole = x.derived(*this).vectors();
  for (uint64_t b = 0; b < x.batch(); ++b)
    std::copy(whole.row(b).data() + first, whole.row(b).data() + last, out + b * stride);
}

void TransformForm::add_rows(const RowSums& sums) const {
  Matrix made({sums.batch, shape().cols});
  for (uint64_t b = 0; b < sums.batch; ++b) {
    std::copy_n(sums.weights + b * sums.weight_stride, shape().rows, made.row(b).data());
    basis_->forward(made.row(b).data());
  }
  add_sums(made, sums);
}

FormPtr TransformForm::read_dct(Shape shape, BodyReader& in) {
  return read_transform<DctBasis>(shape, in);
}

FormPtr TransformForm::read_wavelet(Shape shape, BodyReader& in) {
  return read_transform<WaveletBasis>(shape, in);
}

FormPtr TransformForm::encode(const Expression& call, MatrixView matrix) {
  if (matrix.shape.rows != matrix.shape.cols) {
    throw call.place().error(
        ErrorKind::kUsage, fmt::format("{}: a square matrix it must be, not {} x {}; before `*` it "
                                       "is one, and before `|` it changes columns",
                                       call.name(), matrix.shape.rows, matrix.shape.cols));
  }
  return std::make_shared<TransformForm>(make_basis(call, matrix));
}

}  // namespace pith::form
