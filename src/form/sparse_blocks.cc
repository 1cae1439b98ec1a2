#include "sparse_blocks.h"

#include <algorithm>
#include <bit>

#include "segment_kernel.h"
#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

struct Grid {
  uint64_t width, height, across, down;

  Grid(const SparseOptions& o, Shape shape) {
    const bool rows = o.pattern == SparsePattern::kRows;
    // No larger than the matrix: what a block takes when decoded is bounded by that.
    const uint64_t all = std::max<uint64_t>(shape.cols, 1);
    width = rows ? all : std::min(o.block, all);
    height = rows ? 1 : std::min(o.height, std::max<uint64_t>(shape.rows, 1));
    across = shape.cols / width + (shape.cols % width != 0);
    down = shape.rows / height + (shape.rows % height != 0);
  }
  uint64_t mask_bytes() const { return across / 8 + (across % 8 != 0); }
};

}  // namespace

BlocksForm::BlocksForm(Shape shape, const SparseOptions& options, Buffer mask, FormPtr values)
    : SparseForm(shape, options, std::move(values)), mask_(std::move(mask)) {
  const Grid grid(options, shape);
  width_ = grid.width;
  height_ = grid.height;
  across_ = grid.across;
  down_ = grid.down;
  const auto check = [](bool good) {
    if (!good) fail(ErrorKind::kData, "sparse: blocks and values that do not agree");
  };
  const uint64_t bytes = grid.mask_bytes();
  check(mask_.size() == checked_mul(down_, bytes));
  uint64_t n = 0;
  for (uint64_t g = 0; g < down_ && bytes > 0; ++g) {
    begins_.push_back(n);
    const uint8_t* row = mask_.data() + g * bytes;
    check(across_ % 8 == 0 || row[bytes - 1] >> (across_ % 8) == 0);
    for (uint64_t i = 0; i < bytes; ++i) n += static_cast<uint64_t>(std::popcount(row[i]));
  }
  begins_.push_back(n);
  check(this->values().shape() == Shape{n, width_ * height_});
}

bool BlocksForm::kept(uint64_t block_row, uint64_t block) const {
  return mask_.data()[block_row * ((across_ + 7) / 8) + block / 8] >> (block % 8) & 1;
}

template <class Function>
void BlocksForm::for_each_block(uint64_t first, uint64_t last, Function&& f) const {
  if (across_ == 0) return;
  std::vector<float> lines;
  for (uint64_t g = first / height_; g * height_ < last; ++g) {
    const uint64_t begin = begins_[g], end = begins_[g + 1], size = width_ * height_;
    if (begin == end) continue;
    lines.resize((end - begin) * size);
    values().decode(begin, end, lines.data());
    const float* line = lines.data();
    const uint64_t top = std::max(first, g * height_), skipped = top - g * height_;
    const uint64_t bottom = std::min(last, (g + 1) * height_);
    for (uint64_t i = 0; i < across_; ++i) {
      if (!kept(g, i)) continue;
      f(Block{top, i * width_, bottom - top, std::min(width_, shape().cols - i * width_), width_,
              line + skipped * width_});
      line += size;
    }
  }
}

void BlocksForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::fill_n(out, (last - first) * cols, 0.0f);
  for_each_block(first, last, [&](const Block& b) {
    for (uint64_t r = 0; r < b.rows; ++r)
      std::copy_n(b.values + r * b.stride, b.cols, out + (b.row - first + r) * cols + b.col);
  });
}

void BlocksForm::prepare(Activations& x) const {
  if (options().pattern == SparsePattern::kRows && shape().cols > 0) values().prepare(x);
}

void BlocksForm::multiply_rows(const Activations& x, uint64_t first, uint64_t last, float* out,
                               uint64_t stride) const {
  const uint64_t begin = begins_[first], n = begins_[last] - begin;
  std::vector<float> product(x.batch() * n);
  if (n > 0) values().multiply(x, begin, begin + n, product.data(), n);
  for (uint64_t r = first; r < last; ++r) {
    if (!kept(r, 0)) continue;
    for (uint64_t b = 0; b < x.batch(); ++b)
      out[b * stride + r - first] = product[b * n + begins_[r] - begin];
  }
}

void BlocksForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                          uint64_t stride) const {
  for (uint64_t b = 0; b < x.batch(); ++b) std::fill_n(out + b * stride, last - first, 0.0f);
  if (across_ == 0) return;
  if (options().pattern == SparsePattern::kRows) return multiply_rows(x, first, last, out, stride);
  const MatrixView v = x.vectors();
  for_each_block(first, last, [&](const Block& b) {
    add_products({b.values, b.rows, b.stride}, {v.data + b.col, v.shape.rows, v.shape.cols}, b.cols,
                 out + (b.row - first), stride);
  });
}

void BlocksForm::write_places(BodyWriter& to) const { to.array(mask_.bytes); }

FormPtr BlocksForm::read(Shape shape, const SparseOptions& options, BodyReader& in) {
  const Grid grid(options, shape);
  Buffer mask = in.array(checked_mul(grid.down, grid.mask_bytes()));
  FormPtr values = in.form();
  return std::make_shared<BlocksForm>(shape, options, std::move(mask), std::move(values));
}

FormPtr BlocksForm::encode(const SparseOptions& o, const Expression& values, MatrixView matrix) {
  const Shape shape = matrix.shape;
  const Grid grid(o, shape);
  const uint64_t size = grid.width * grid.height;
  std::vector<float> norms(grid.across * grid.down);
  std::vector<double> squares(norms.size());
  for (uint64_t r = 0; r < shape.rows; ++r) {
    const auto row = matrix.row(r);
    for (uint64_t c = 0; c < shape.cols; ++c)
      squares[r / grid.height * grid.across + c / grid.width] += double{row[c]} * row[c];
  }
  std::ranges::transform(squares, norms.begin(), [](double s) { return static_cast<float>(s); });
  const std::vector<bool> keep = largest(norms, count_of(o.share, norms.size()));
  Bytes mask(grid.down * grid.mask_bytes());
  std::vector<float> kept;
  for (uint64_t i = 0; i < keep.size(); ++i) {
    if (!keep[i]) continue;
    const uint64_t g = i / grid.across, block = i % grid.across, begin = kept.size();
    uint8_t& byte = mask[g * grid.mask_bytes() + block / 8];
    byte = static_cast<uint8_t>(byte | 1u << (block % 8));
    kept.resize(begin + size);
    const uint64_t col = block * grid.width, cols = std::min(grid.width, shape.cols - col);
    for (uint64_t r = 0; r < std::min(grid.height, shape.rows - g * grid.height); ++r) {
      std::ranges::copy(matrix.row(g * grid.height + r).subspan(col, cols),
                        kept.begin() + static_cast<int64_t>(begin + r * grid.width));
    }
  }
  clamp_for(values, kept);
  const MatrixView lines{kept.data(), {kept.size() / size, size}};
  return std::make_shared<BlocksForm>(shape, o, Buffer(std::move(mask)),
                                      form::encode(values, lines));
}

}  // namespace pith::form
