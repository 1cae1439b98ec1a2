#include "sparse_csr.h"

#include <algorithm>
#include <cmath>

#include "sparse_kernel.h"
#include "storage.h"

namespace pith::form {
namespace {

// From this many vectors on they are multiplied side by side.
constexpr uint64_t kSideBySide = 4;

uint64_t width_of_begins(uint64_t n) { return n >> 32 ? 8 : 4; }
uint64_t width_of_columns(uint64_t cols) { return cols > 1 << 16 ? 4 : 2; }

uint64_t load(const Buffer& b, uint64_t i, uint64_t width) {
  switch (width) {
    case 2:
      return load_le<uint16_t>(b.data() + 2 * i);
    case 4:
      return load_le<uint32_t>(b.data() + 4 * i);
    default:
      return load_le<uint64_t>(b.data() + 8 * i);
  }
}

void append(uint64_t v, uint64_t width, Bytes& to) {
  for (uint64_t i = 0; i < width; ++i) to.push_back(static_cast<uint8_t>(v >> (8 * i)));
}

}  // namespace

CsrForm::CsrForm(Shape shape, const SparseOptions& options, Buffer begins, Buffer columns,
                 FormPtr values)
    : SparseForm(shape, options, std::move(values)),
      begins_(std::move(begins)),
      columns_(std::move(columns)),
      column_bytes_(width_of_columns(shape.cols)) {
  const auto check = [](bool good) {
    if (!good) fail(ErrorKind::kData, "sparse: rows, columns and values that do not agree");
  };
  const uint64_t n = count();
  begin_bytes_ = width_of_begins(n);
  check(n <= shape.size() && columns_.size() == n * column_bytes_ &&
        begins_.size() == begin_bytes_ * (shape.rows + 1) && this->values().shape() == folded(n));
  check(begin(0) == 0 && begin(shape.rows) == n);
  for (uint64_t r = 0; r < shape.rows; ++r) check(begin(r) <= begin(r + 1));
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t i = begin(r), next = 0; i < begin(r + 1); next = column(i++) + 1) {
      check(column(i) >= next && column(i) < shape.cols);
    }
  }
}

uint64_t CsrForm::begin(uint64_t row) const { return load(begins_, row, begin_bytes_); }
uint64_t CsrForm::column(uint64_t i) const { return load(columns_, i, column_bytes_); }

void CsrForm::decode(uint64_t first, uint64_t last, float* out) const {
  std::fill_n(out, (last - first) * shape().cols, 0.0f);
  if (first == last) return;
  std::vector<float> scratch;
  const uint64_t from = begin(first);
  const PackedValues packed = values_at(values(), from, begin(last), scratch);
  for (uint64_t r = first; r < last; ++r) {
    float* row = out + (r - first) * shape().cols;
    for (uint64_t i = begin(r); i < begin(r + 1); ++i)
      row[column(i)] = load_value(packed, i - from);
  }
}

void CsrForm::prepare(Activations& x) const {
  if (x.batch() < kSideBySide) return;
  x.derive(*this, [](MatrixView vectors) {
    const uint64_t batch = (vectors.shape.rows + kBatchLanes - 1) / kBatchLanes * kBatchLanes;
    Matrix turned({vectors.shape.cols, batch});
    for (uint64_t b = 0; b < vectors.shape.rows; ++b) {
      for (uint64_t c = 0; c < vectors.shape.cols; ++c) turned.row(c)[b] = vectors.row(b)[c];
    }
    return turned;
  });
}

void CsrForm::add_rows(const RowSums& sums) const {
  std::vector<float> scratch;
  const PackedValues packed = values_at(values(), 0, count(), scratch);
  for (uint64_t r = 0; r < shape().rows; ++r) {
    for (uint64_t i = begin(r); i < begin(r + 1); ++i) {
      const float value = load_value(packed, i);
      float* out = sums.out + column(i);
      for (uint64_t b = 0; b < sums.batch; ++b)
        out[b * sums.stride] += sums.weights[b * sums.weight_stride + r] * value;
    }
  }
}

void CsrForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                       uint64_t stride) const {
  if (first == last) return;
  std::vector<float> scratch, sums;
  const uint64_t from = begin(first);
  const PackedValues packed = values_at(values(), from, begin(last), scratch);
  const bool side_by_side = x.batch() >= kSideBySide;
  const MatrixView turned = side_by_side ? x.derived(*this).vectors() : MatrixView{};
  sums.resize(turned.shape.cols);
  for (uint64_t r = first; r < last; ++r) {
    const uint64_t at = begin(r) - from;
    IndexedRow row;
    row.columns = columns_.data() + begin(r) * column_bytes_;
    row.wide = column_bytes_ == 4;
    row.values = packed;
    row.values.data += at * info(packed.type).block_bytes;
    row.values.readable -= std::min(at, row.values.readable);
    row.count = begin(r + 1) - begin(r);
    if (side_by_side) {
      indexed_products(row, turned, sums.data());
      for (uint64_t b = 0; b < x.batch(); ++b) out[b * stride + r - first] = sums[b];
    } else {
      for (uint64_t b = 0; b < x.batch(); ++b) {
        out[b * stride + r - first] = indexed_dot(row, x.vectors().row(b).data());
      }
    }
  }
}

void CsrForm::write_places(BodyWriter& to) const {
  to.varint(count());
  to.array(begins_.bytes);
  to.array(columns_.bytes);
}

FormPtr CsrForm::read(Shape shape, const SparseOptions& options, BodyReader& in) {
  if (shape.cols >> 32) in.bad("a row too long for columns of 32 bits");
  const uint64_t n = in.varint(0, shape.size(), "elements");
  Buffer begins = in.array(width_of_begins(n) * (shape.rows + 1));
  Buffer columns = in.array(width_of_columns(shape.cols) * n);
  FormPtr values = in.form();
  return std::make_shared<CsrForm>(shape, options, std::move(begins), std::move(columns),
                                   std::move(values));
}

FormPtr CsrForm::make(const SparseOptions& options, Shape shape, std::span<const uint64_t> kept,
                      FormPtr values) {
  if (shape.cols >> 32) {
    fail(ErrorKind::kLimit, "sparse: {} columns are too many for pattern=csr", shape.cols);
  }
  std::vector<uint64_t> begins(shape.rows + 1);
  Bytes columns, stored;
  for (const uint64_t at : kept) {
    ++begins[at / shape.cols + 1];
    append(at % shape.cols, width_of_columns(shape.cols), columns);
  }
  uint64_t begin = 0;
  for (const uint64_t n : begins) {
    begin += n;
    append(begin, width_of_begins(kept.size()), stored);
  }
  return std::make_shared<CsrForm>(shape, options, Buffer(std::move(stored)),
                                   Buffer(std::move(columns)), std::move(values));
}

FormPtr CsrForm::encode(const SparseOptions& options, const Expression& values, MatrixView matrix) {
  const std::vector<uint64_t> kept = largest_elements(matrix, options.share);
  return make(options, matrix.shape, kept, encode_folded(values, gathered(matrix, kept)));
}

}  // namespace pith::form
