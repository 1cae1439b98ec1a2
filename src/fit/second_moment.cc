#include "pith/fit/second_moment.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "tile_product.h"

namespace pith::fit {
namespace {

using form::MatrixView;

constexpr uint64_t kMostChannels = 1 << 16;

// Tokens that are summed in float32.
struct Block {
  uint64_t first, count;
  float scale;     // of the inputs: a power of two that makes the largest about one
  double unscale;  // of their products
};

float largest_of(MatrixView x, uint64_t first, uint64_t last) {
  float largest = 0;
  for (uint64_t t = first; t < last; ++t) {
    const auto row = x.row(t);
    float most = 0;
    bool finite = true;
    for (const float v : row) {
      finite &= std::fabs(v) <= 0x1.fffffep127f;
      most = std::max(most, std::fabs(v));
    }
    if (!finite) {
      const auto bad = std::ranges::find_if_not(row, [](float v) { return std::isfinite(v); });
      fail(ErrorKind::kData, "inputs: token {}, channel {} is {}", t, bad - row.begin(),
           std::isnan(*bad) ? "NaN" : "infinite");
    }
    largest = std::max(largest, most);
  }
  return largest;
}

std::vector<Block> blocks_of(MatrixView x, int threads) {
  std::vector<Block> blocks((x.shape.rows + kMostSteps - 1) / kMostSteps);
  parallel_for(threads, blocks.size(), [&](size_t i) {
    const uint64_t first = i * kMostSteps, count = std::min(kMostSteps, x.shape.rows - first);
    const float largest = largest_of(x, first, first + count);
    const int exponent = largest > 0 ? std::clamp(std::ilogb(largest), -126, 126) : 0;
    blocks[i] = {first, count, std::ldexp(1.0f, -exponent), std::ldexp(1.0, 2 * exponent)};
  });
  return blocks;
}

// Blocks that are copied at a time, tile after tile of channels, as the inner loop reads them.
constexpr uint64_t kMostBlocks = 16;

// Channels first <= c < first + kTile of the blocks, and zeros for those that are not there.
void pack(MatrixView x, std::span<const Block> blocks, uint64_t first, float* out) {
  const uint64_t n = std::min<uint64_t>(kTile, x.shape.cols - first);
  for (const Block& block : blocks) {
    for (uint64_t t = 0; t < block.count; ++t, out += kTile) {
      const float* from = x.row(block.first + t).data() + first;
      for (uint64_t c = 0; c < n; ++c) out[c] = from[c] * block.scale;
      std::fill(out + n, out + kTile, 0.0f);
    }
  }
}

// Adds the products of two tiles of channels to the matrix and to its mirror image.
void add_tile(const float* left, const float* right, std::span<const Block> blocks,
              uint64_t first_row, uint64_t first_col, uint64_t n, std::span<double> to) {
  alignas(64) std::array<float, kTile * kTile> product;
  std::array<double, kTile * kTile> sums{};
  const bool diagonal = first_row == first_col;
  for (const Block& block : blocks) {
    tile_product(left, right, block.count, product.data());
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += block.unscale * product[i];
    left += block.count * kTile;
    right += block.count * kTile;
  }
  const uint64_t rows = std::min<uint64_t>(kTile, n - first_row);
  const uint64_t cols = std::min<uint64_t>(kTile, n - first_col);
  for (uint64_t r = 0; r < rows; ++r) {
    double* row = to.data() + (first_row + r) * n + first_col;
    for (uint64_t c = 0; c < cols; ++c) row[c] += sums[r * kTile + c];
  }
  if (diagonal) return;  // its own mirror image
  for (uint64_t c = 0; c < cols; ++c) {
    double* row = to.data() + (first_col + c) * n + first_row;
    for (uint64_t r = 0; r < rows; ++r) row[r] += sums[r * kTile + c];
  }
}

// Adds the sizes of channels first <= c < last.
void add_sizes(MatrixView x, uint64_t first, uint64_t last, std::span<double> to) {
  std::array<double, kTile> sums{};
  for (uint64_t t = 0; t < x.shape.rows; ++t) {
    const float* from = x.row(t).data() + first;
    for (uint64_t c = 0; c < last - first; ++c) sums[c] += std::fabs(from[c]);
  }
  for (uint64_t c = first; c < last; ++c) to[c] += sums[c - first];
}

}  // namespace

SecondMoment::SecondMoment(uint64_t channels) : channels_(channels) {
  if (channels == 0) fail(ErrorKind::kUsage, "second moments of no channels");
  if (channels > kMostChannels) {
    fail(ErrorKind::kLimit, "second moments of {} channels; at most {} are kept", channels,
         kMostChannels);
  }
  sums_.resize(channels * channels);
  sizes_.resize(channels);
}

void SecondMoment::add(MatrixView inputs, int threads) {
  if (inputs.shape.cols != channels_) {
    fail(ErrorKind::kUsage, "inputs of {} channels, where {} are expected", inputs.shape.cols,
         channels_);
  }
  const int used = thread_count(threads);
  const std::vector<Block> blocks = blocks_of(inputs, used);
  const uint64_t tiles = (channels_ + kTile - 1) / kTile;
  std::vector<float> packed;
  for (size_t first = 0; first < blocks.size(); first += kMostBlocks) {
    const auto some =
        std::span(blocks).subspan(first, std::min(kMostBlocks, blocks.size() - first));
    const uint64_t tokens = some.back().first + some.back().count - some.front().first;
    packed.resize(tiles * tokens * kTile);
    const auto tile = [&](uint64_t i) { return packed.data() + i * tokens * kTile; };
    parallel_for(used, tiles, [&](size_t i) { pack(inputs, some, i * kTile, tile(i)); });
    parallel_for(used, tiles, [&](size_t i) {
      for (uint64_t col = i; col < tiles; ++col) {
        add_tile(tile(i), tile(col), some, i * kTile, col * kTile, channels_, sums_);
      }
    });
  }
  parallel_for(used, tiles, [&](size_t i) {
    add_sizes(inputs, i * kTile, std::min((i + 1) * kTile, channels_), sizes_);
  });
  count_ += inputs.shape.rows;
}

void SecondMoment::merge(const SecondMoment& other) {
  if (other.channels_ != channels_) {
    fail(ErrorKind::kUsage, "second moments of {} channels do not go with those of {}",
         other.channels_, channels_);
  }
  for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  for (size_t i = 0; i < sizes_.size(); ++i) sizes_[i] += other.sizes_[i];
  count_ += other.count_;
}

std::vector<double> SecondMoment::mean_size() const {
  std::vector<double> mean(channels_);
  for (uint64_t c = 0; c < channels_ && count_ > 0; ++c) {
    mean[c] = sizes_[c] / static_cast<double>(count_);
  }
  return mean;
}

std::vector<double> SecondMoment::root_mean_square() const {
  std::vector<double> root(channels_);
  for (uint64_t c = 0; c < channels_ && count_ > 0; ++c) {
    root[c] = std::sqrt(sums_[c * channels_ + c] / static_cast<double>(count_));
  }
  return root;
}

}  // namespace pith::fit
