#include "pca_basis.h"

#include <algorithm>
#include <cmath>

#include "kinds.h"
#include "pith/base/half.h"
#include "pith/form/arguments.h"
#include "pith/math/eigen.h"
#include "segment_kernel.h"
#include "storage.h"

namespace pith::form {
namespace {

// Of more columns at once the axes would take longer to find than anyone waits.
constexpr uint64_t kMostBlock = 8192;

// out = row m, with m of n x n.
void multiply_row(const float* row, const float* m, uint64_t n, float* out) {
  std::fill_n(out, n, 0.0f);
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j < n; ++j) out[j] += row[i] * m[i * n + j];
  }
}

}  // namespace

template <class Function>
void PcaBasis::for_each_block(uint64_t size, uint64_t block, Function&& f) {
  const uint64_t length = block == 0 ? size : block;
  for (uint64_t at = 0, offset = 0; at < size; at += length) {
    const uint64_t n = std::min(length, size - at);
    f(at, n, offset);
    offset += n * n;
  }
}

Expression PcaBasis::expression() const {
  if (block_ == 0) return Expression::call("pca");
  return Expression::call("pca", {{"block", Value(block_)}});
}

void PcaBasis::write_body(BodyWriter& to) const {
  Bytes stored;
  ByteWriter w(stored);
  for (const float a : axes_) w.u16(f16_from_float(a));
  to.varint(block_);
  to.array(stored);
}

void PcaBasis::forward(float* x) const {
  const std::vector<float> from(x, x + size());
  std::fill_n(x, size(), 0.0f);
  for_each_block(size(), block_, [&](uint64_t at, uint64_t n, uint64_t offset) {
    add_products({axes_.data() + offset, n, n}, {from.data() + at, 1, n}, n, x + at, n);
  });
}

void PcaBasis::back(float* row) const {
  const std::vector<float> from(row, row + size());
  for_each_block(size(), block_, [&](uint64_t at, uint64_t n, uint64_t offset) {
    multiply_row(from.data() + at, axes_.data() + offset, n, row + at);
  });
}

void PcaBasis::change(float* row) const {
  std::call_once(once_, [&] {
    for_each_block(size(), block_, [&](uint64_t, uint64_t n, uint64_t offset) {
      const std::vector<float> inverted = math::inverse(axes_.data() + offset, n);
      inverse_.insert(inverse_.end(), inverted.begin(), inverted.end());
    });
  });
  const std::vector<float> from(row, row + size());
  for_each_block(size(), block_, [&](uint64_t at, uint64_t n, uint64_t offset) {
    multiply_row(from.data() + at, inverse_.data() + offset, n, row + at);
  });
}

BasisPtr PcaBasis::read(uint64_t size, BodyReader& in) {
  const uint64_t block = in.varint(0, kMostBlock, "block");
  if (block == 0 && size > kMostBlock) in.bad("axes of too many columns");
  const uint64_t length = block == 0 ? std::max<uint64_t>(size, 1) : block;
  const uint64_t count = size / length * length * length + (size % length) * (size % length);
  const Buffer stored = in.array(checked_mul(2, count));
  std::vector<float> axes(count);
  for (uint64_t i = 0; i < count; ++i) {
    axes[i] = float_from_f16(load_le<uint16_t>(stored.data() + 2 * i));
    if (!std::isfinite(axes[i])) in.bad("an axis that is not finite");
  }
  return std::make_shared<PcaBasis>(size, block, std::move(axes));
}

BasisPtr PcaBasis::make(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"block"});
  const auto block = static_cast<uint64_t>(args.integer("block", 1, kMostBlock, 0));
  const uint64_t cols = matrix.shape.cols;
  if (block == 0 && cols > kMostBlock) {
    throw call.place().error(
        ErrorKind::kUsage, fmt::format("pca: {} columns are too many at once, say block=…", cols));
  }
  require_finite(matrix, "pca");
  std::vector<float> axes;
  for_each_block(cols, block, [&](uint64_t at, uint64_t n, uint64_t) {
    const std::vector<float> square = math::gram(matrix.data + at, matrix.shape.rows, n, cols);
    for (const float v : math::symmetric_eigen(square.data(), n).vectors) {
      axes.push_back(float_from_f16(f16_from_float(v)));
    }
  });
  return std::make_shared<PcaBasis>(cols, block, std::move(axes));
}

}  // namespace pith::form
