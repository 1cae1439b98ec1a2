#include "sparse_blocks.h"

#include <algorithm>
#include <bit>

#include "float_product.h"
#include "sparse_kernel.h"
#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

// Blocks of more rows do not set the size of tiles.
constexpr uint64_t kTallest = 64;
// Values of a block that have no lines of their own: codes are stored in runs of 32 columns, of
// which shorter rows would fill a part.
constexpr uint64_t kLine = 256;
// What a row costs beside its blocks, in sixteenths of a block.
constexpr uint64_t kBlockCost = 16;

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

Shape BlocksForm::values_shape(const SparseOptions& options, Shape matrix, uint64_t blocks) {
  const Grid grid(options, matrix);
  const uint64_t size = grid.width * grid.height;
  const bool rows = options.pattern == SparsePattern::kRows;
  const bool lines = !rows && size < kLine && kLine % size == 0;
  return lines ? folded(checked_mul(blocks, size)) : Shape{blocks, size};
}

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
  // Earlier versions had a row for each block, however small.
  const Shape there = this->values().shape();
  check(there == values_shape(options, shape, n) || there == Shape{n, width_ * height_});
}

bool BlocksForm::kept(uint64_t block_row, uint64_t block) const {
  return mask_.data()[block_row * ((across_ + 7) / 8) + block / 8] >> (block % 8) & 1;
}

template <class Function>
void BlocksForm::for_each_band(uint64_t first, uint64_t last, Function&& f) const {
  if (across_ == 0) return;
  std::vector<float> lines;
  std::vector<uint64_t> columns;
  for (uint64_t g = first / height_; g * height_ < last; ++g) {
    const uint64_t begin = begins_[g], end = begins_[g + 1];
    if (begin == end) continue;
    const uint64_t size = width_ * height_, line = values().shape().cols;
    const uint64_t top_line = begin * size / line, end_line = (end * size + line - 1) / line;
    lines.resize((end_line - top_line) * line);
    values().decode(top_line, end_line, lines.data());
    columns.clear();
    const uint64_t bytes = (across_ + 7) / 8;
    for (uint64_t i = 0; i < bytes; ++i) {
      for (uint32_t left = mask_.data()[g * bytes + i]; left != 0; left &= left - 1)
        columns.push_back((8 * i + static_cast<uint64_t>(std::countr_zero(left))) * width_);
    }
    const uint64_t top = std::max(first, g * height_);
    const float* own = lines.data() + (begin * size - top_line * line);
    f(Band{top, std::min(last, (g + 1) * height_), own + (top - g * height_) * width_, columns});
  }
}

void BlocksForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::fill_n(out, (last - first) * cols, 0.0f);
  for_each_band(first, last, [&](const Band& band) {
    for (size_t i = 0; i < band.columns.size(); ++i) {
      const uint64_t column = band.columns[i], n = std::min(width_, cols - column);
      const float* block = band.values + i * width_ * height_;
      for (uint64_t r = band.top; r < band.bottom; ++r) {
        std::copy_n(block + (r - band.top) * width_, n, out + (r - first) * cols + column);
      }
    }
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
  if (x.batch() > 1) return multiply_expanded(x, first, last, out, stride);
  for_each_band(first, last, [&](const Band& band) {
    BlockRow row{band.columns.data(), band.columns.size(), width_, shape().cols, width_ * height_};
    for (uint64_t r = band.top; r < band.bottom; ++r) {
      out[r - first] = blocks_dot(band.values + (r - band.top) * width_, row, x.vectors().data);
    }
  });
}

// By blocks and not by rows (task-centric: GQSA, Zeng et al. 2024), as far as rows are not cut: a
// row's sum is the same on any number of threads. Of several vectors all rows cost alike.
uint64_t BlocksForm::part_begin(const Activations& x, uint64_t part, uint64_t parts) const {
  const bool alike = x.batch() > 1 || across_ == 0;
  const auto cost = [&](uint64_t g) { return alike ? g : kBlockCost * begins_[g] + g; };
  const uint64_t wanted = cost(down_) / parts * part + cost(down_) % parts * part / parts;
  uint64_t first = 0,
           last = down_;  // the first row of blocks that costs as much is in [first, last]
  while (first < last) {
    const uint64_t middle = first + (last - first) / 2;
    if (cost(middle) < wanted) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return part == parts ? shape().rows : std::min(first * height_, shape().rows);
}

// Tiles hold whole blocks where these are not taller than tiles, so that none is decoded twice.
void BlocksForm::multiply_expanded(const Activations& x, uint64_t first, uint64_t last, float* out,
                                   uint64_t stride) const {
  const uint64_t cols = shape().cols, fitting = tile_rows(cols, x.batch());
  const uint64_t step = height_ <= kTallest ? (fitting + height_ - 1) / height_ * height_ : fitting;
  std::vector<float> tile(step * cols);
  for (uint64_t r = first; r < last;) {
    const uint64_t end = std::min(last, (r / step + 1) * step);
    decode(r, end, tile.data());
    multiply_floats({DType::kF32, reinterpret_cast<const uint8_t*>(tile.data()), end - r, cols},
                    x.vectors(), out + (r - first), stride);
    r = end;
  }
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
  const Shape lines = values_shape(o, shape, kept.size() / size);
  kept.resize(lines.size());
  return std::make_shared<BlocksForm>(shape, o, Buffer(std::move(mask)),
                                      form::encode(values, MatrixView{kept.data(), lines}));
}

FormPtr BlocksForm::make(const SparseOptions& o, Shape shape, std::span<const uint64_t> kept,
                         FormPtr values) {
  const Grid grid(o, shape);
  Bytes mask(grid.down * grid.mask_bytes());
  for (const uint64_t i : kept) {
    const uint64_t block = i % shape.cols / grid.width;
    uint8_t& byte = mask[i / shape.cols * grid.mask_bytes() + block / 8];
    byte = static_cast<uint8_t>(byte | 1u << (block % 8));
  }
  return std::make_shared<BlocksForm>(shape, o, Buffer(std::move(mask)), std::move(values));
}

}  // namespace pith::form
