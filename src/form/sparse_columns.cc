#include "sparse_columns.h"

#include <algorithm>

#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

uint64_t mask_bytes(uint64_t cols) { return cols / 8 + (cols % 8 != 0); }

}  // namespace

ColumnsForm::ColumnsForm(Shape shape, const SparseOptions& options, Buffer mask, FormPtr values)
    : SparseForm(shape, options, std::move(values)), mask_(std::move(mask)) {
  const auto check = [](bool good) {
    if (!good) fail(ErrorKind::kData, "sparse: columns and values that do not agree");
  };
  check(mask_.size() == mask_bytes(shape.cols));
  for (uint64_t c = 0; c < 8 * mask_.size(); ++c) {
    if (mask_.data()[c / 8] >> (c % 8) & 1) columns_.push_back(c);
  }
  check(columns_.empty() || columns_.back() < shape.cols);
  check(this->values().shape() == Shape{shape.rows, columns_.size()});
}

void ColumnsForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols, n = columns_.size();
  std::fill_n(out, (last - first) * cols, 0.0f);
  std::vector<float> row(n);
  for (uint64_t r = first; r < last; ++r) {
    values().decode(r, r + 1, row.data());
    for (uint64_t i = 0; i < n; ++i) out[(r - first) * cols + columns_[i]] = row[i];
  }
}

void ColumnsForm::prepare(Activations& x) const {
  values().prepare(x.derive(*this, [&](MatrixView vectors) {
    Matrix gathered({vectors.shape.rows, columns_.size()});
    for (uint64_t b = 0; b < vectors.shape.rows; ++b) {
      for (uint64_t i = 0; i < columns_.size(); ++i)
        gathered.row(b)[i] = vectors.row(b)[columns_[i]];
    }
    return gathered;
  }));
}

void ColumnsForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  values().multiply(x.derived(*this), first, last, out, stride);
}

void ColumnsForm::write_places(BodyWriter& to) const { to.array(mask_.bytes); }

FormPtr ColumnsForm::read(Shape shape, const SparseOptions& options, BodyReader& in) {
  Buffer mask = in.array(mask_bytes(shape.cols));
  FormPtr values = in.form();
  return std::make_shared<ColumnsForm>(shape, options, std::move(mask), std::move(values));
}

FormPtr ColumnsForm::encode(const SparseOptions& o, const Expression& values, MatrixView matrix) {
  const Shape shape = matrix.shape;
  std::vector<double> squares(shape.cols);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c)
      squares[c] += double{matrix.row(r)[c]} * matrix.row(r)[c];
  }
  std::vector<float> norms(squares.size());
  std::ranges::transform(squares, norms.begin(), [](double s) { return static_cast<float>(s); });
  const std::vector<bool> keep = largest(norms, count_of(o.share, shape.cols));
  Bytes mask(mask_bytes(shape.cols));
  std::vector<uint64_t> columns;
  for (uint64_t c = 0; c < shape.cols; ++c) {
    if (!keep[c]) continue;
    mask[c / 8] = static_cast<uint8_t>(mask[c / 8] | 1u << (c % 8));
    columns.push_back(c);
  }
  Matrix kept({shape.rows, columns.size()});
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t i = 0; i < columns.size(); ++i) kept.row(r)[i] = matrix.row(r)[columns[i]];
  }
  clamp_for(values, kept.values);
  return std::make_shared<ColumnsForm>(shape, o, Buffer(std::move(mask)),
                                       form::encode(values, kept.view()));
}

}  // namespace pith::form
