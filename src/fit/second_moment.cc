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

// Channels first <= c < first + kTile of a block, and zeros for those that are not there.
void pack(MatrixView x, const Block& block, uint64_t first, float* out) {
  const uint64_t n = std::min<uint64_t>(kTile, x.shape.cols - first);
  for (uint64_t t = 0; t < block.count; ++t, out += kTile) {
    const float* from = x.row(block.first + t).data() + first;
    for (uint64_t c = 0; c < n; ++c) out[c] = from[c] * block.scale;
    std::fill(out + n, out + kTile, 0.0f);
  }
}

// Adds the products of two tiles of channels to the matrix and to its mirror image.
void add_tile(MatrixView x, std::span<const Block> blocks, uint64_t first_row, uint64_t first_col,
              std::span<double> to) {
  alignas(64) std::array<float, kMostSteps * kTile> left, right;
  alignas(64) std::array<float, kTile * kTile> product;
  std::array<double, kTile * kTile> sums{};
  const bool diagonal = first_row == first_col;
  for (const Block& block : blocks) {
    pack(x, block, first_row, left.data());
    if (!diagonal) pack(x, block, first_col, right.data());
    tile_product(left.data(), diagonal ? left.data() : right.data(), block.count, product.data());
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += block.unscale * product[i];
  }
  const uint64_t n = x.shape.cols;
  for (uint64_t r = first_row; r < std::min(first_row + kTile, n); ++r) {
    const double* from = sums.data() + (r - first_row) * kTile;
    const uint64_t begin = diagonal ? r : first_col;
    for (uint64_t c = begin; c < std::min(first_col + kTile, n); ++c) {
      to[r * n + c] += from[c - first_col];
      if (c != r) to[c * n + r] = to[r * n + c];
    }
  }
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
  parallel_for(used, tiles, [&](size_t i) {
    for (uint64_t col = i; col < tiles; ++col) {
      add_tile(inputs, blocks, i * kTile, col * kTile, sums_);
    }
    for (uint64_t c = i * kTile; c < std::min((i + 1) * kTile, channels_); ++c) {
      double sum = 0;
      for (uint64_t t = 0; t < inputs.shape.rows; ++t) sum += std::fabs(inputs.row(t)[c]);
      sizes_[c] += sum;
    }
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
