#include "blockdiag.h"

#include <algorithm>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "segment_kernel.h"
#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr int64_t kMostBlock = 1 << 20;

uint64_t pieces(uint64_t n, uint64_t length) { return n / length + (n % length != 0); }

DiagonalBlocks blocks_of(const Arguments& args, Shape shape) {
  DiagonalBlocks b;
  if (args.has("blocks")) {
    if (args.has("block")) throw args.wrong("block", "left out beside `blocks`");
    b.count = static_cast<uint64_t>(args.integer("blocks", 1, kMostBlock));
    b.rows = std::max<uint64_t>(1, pieces(shape.rows, b.count));
    b.cols = std::max<uint64_t>(1, pieces(shape.cols, b.count));
    return b;
  }
  b.rows = b.cols = static_cast<uint64_t>(args.integer("block", 1, kMostBlock, 64));
  return b;
}

}  // namespace

uint64_t DiagonalBlocks::count_in(Shape matrix) const {
  return std::min(pieces(matrix.rows, rows), pieces(matrix.cols, cols));
}

uint64_t DiagonalBlocks::rows_in(Shape matrix) const {
  return std::min(matrix.rows, checked_mul(count_in(matrix), rows));
}

BlockDiagForm::BlockDiagForm(Shape shape, const DiagonalBlocks& blocks, FormPtr values)
    : Form(shape), blocks_(blocks), values_(std::move(values)) {
  if (values_->shape() != Shape{blocks_.rows_in(shape), blocks_.cols}) {
    fail(ErrorKind::kData, "blockdiag: blocks that do not fit the matrix");
  }
}

Expression BlockDiagForm::expression() const {
  std::vector<Argument> args;
  if (blocks_.count > 0) {
    args.push_back({"blocks", Value(blocks_.count)});
  } else {
    args.push_back({"", Value(blocks_.rows)});
  }
  add_values_argument(*values_, args);
  return Expression::call("blockdiag", std::move(args));
}

void BlockDiagForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols, end = std::min(last, values_->shape().rows);
  std::fill_n(out, (last - first) * cols, 0.0f);
  std::vector<float> row(blocks_.cols);
  for (uint64_t r = first; r < end; ++r) {
    values_->decode(r, r + 1, row.data());
    const uint64_t at = r / blocks_.rows * blocks_.cols;
    std::copy_n(row.data(), std::min(blocks_.cols, cols - at), out + (r - first) * cols + at);
  }
}

void BlockDiagForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                             uint64_t stride) const {
  for (uint64_t b = 0; b < x.batch(); ++b) std::fill_n(out + b * stride, last - first, 0.0f);
  const MatrixView v = x.vectors();
  const uint64_t end = std::min(last, values_->shape().rows);
  std::vector<float> block;
  for (uint64_t r = first; r < end;) {
    const uint64_t at = r / blocks_.rows * blocks_.cols;
    const uint64_t next = std::min(end, (r / blocks_.rows + 1) * blocks_.rows);
    block.resize((next - r) * blocks_.cols);
    values_->decode(r, next, block.data());
    add_products({block.data(), next - r, blocks_.cols}, {v.data + at, v.shape.rows, v.shape.cols},
                 std::min(blocks_.cols, shape().cols - at), out + (r - first), stride);
    r = next;
  }
}

void BlockDiagForm::write_body(BodyWriter& to) const {
  to.varint(blocks_.count);
  to.varint(blocks_.rows);
  to.varint(blocks_.cols);
  to.form(*values_);
}

FormPtr BlockDiagForm::read(Shape shape, BodyReader& in) {
  DiagonalBlocks b;
  b.count = in.varint(0, kMostBlock, "blocks");
  // By count they depend on the matrix, by size they are square.
  b.rows = in.varint(1, kMostElements, "rows of a block");
  b.cols = in.varint(1, kMostElements, "columns of a block");
  const bool fits = b.count > 0 ? b.rows == std::max<uint64_t>(1, pieces(shape.rows, b.count)) &&
                                      b.cols == std::max<uint64_t>(1, pieces(shape.cols, b.count))
                                : b.rows == b.cols && b.rows <= kMostBlock;
  if (!fits) in.bad("blocks that cannot be");
  return std::make_shared<BlockDiagForm>(shape, b, in.form());
}

FormPtr BlockDiagForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"block", "blocks", "values"});
  const DiagonalBlocks blocks = blocks_of(args, matrix.shape);
  const Expression values = values_argument(args);
  require_finite(matrix, "blockdiag");
  Matrix kept({blocks.rows_in(matrix.shape), blocks.cols});
  for (uint64_t r = 0; r < kept.shape.rows; ++r) {
    const uint64_t at = r / blocks.rows * blocks.cols;
    const auto from = matrix.row(r).subspan(at, std::min(blocks.cols, matrix.shape.cols - at));
    std::ranges::copy(from, kept.row(r).begin());
  }
  clamp_for(values, kept.values);
  return std::make_shared<BlockDiagForm>(matrix.shape, blocks, form::encode(values, kept.view()));
}

}  // namespace pith::form
