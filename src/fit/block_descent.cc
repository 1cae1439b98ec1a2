#include "block_descent.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::UniformScale;

// A change is taken where it lowers the error by more than rounding might say it does.
constexpr double kLeastGain = 1e-5;

constexpr std::pair<int, int> kSteps[] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};

}  // namespace

template <class Blocks>
double BlockDescent<Blocks>::run(form::MatrixView weights, int sweeps, std::vector<Block>& blocks,
                                 std::vector<uint8_t>& codes) {
  const auto [rows, n] = weights.shape;
  const uint64_t length = fit_.block_length(), in_row = (n + length - 1) / length;
  form::Matrix values(weights.shape), errors(weights.shape), left(weights.shape);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < n; ++c) {
      values.row(r)[c] =
          value(c / length, blocks[r * in_row + c / length], codes.data() + r * n, c);
      errors.row(r)[c] = weights.row(r)[c] - values.row(r)[c];
    }
  }
  math::matrix_product(math::row_major(errors.values.data(), rows, n),
                       math::row_major(matrix_, n, n), left.values.data(), n);
  double error = 0;
  for (uint64_t r = 0; r < rows; ++r) {
    left_ = left.row(r);
    values_ = values.row(r);
    sweep(sweeps, blocks.data() + r * in_row, codes.data() + r * n);
    for (uint64_t c = 0; c < n; ++c) error += (double{weights.row(r)[c]} - values_[c]) * left_[c];
  }
  return error;
}

template <class Blocks>
void BlockDescent<Blocks>::sweep(int sweeps, Block* blocks, uint8_t* codes) {
  const uint64_t n = left_.size(), length = fit_.block_length(), group = fit_.group_length();
  for (int i = 0; i < sweeps; ++i) {
    bool any = false;
    for (uint64_t block = 0; block * length < n; ++block) {
      Block& b = blocks[block];
      const uint64_t end = std::min(n, (block + 1) * length);
      for (uint64_t first = block * length; first < end; first += group) {
        const uint64_t g = (first - block * length) / group;
        any |= improve_codes(first, std::min(group, end - first), fit_.scale(b, g), codes);
        if (length > group) any |= improve_scale(block, g, b, codes);
      }
      if (fit_.shared_may_change()) any |= improve_shared(block, b, codes);
    }
    if (!any) return;
  }
}

template <class Blocks>
float BlockDescent<Blocks>::value(uint64_t block, const Block& b, const uint8_t* codes,
                                  uint64_t column) const {
  const uint64_t g = (column - block * fit_.block_length()) / fit_.group_length();
  return fit_.value(codes[column], fit_.scale(b, g));
}

template <class Blocks>
void BlockDescent<Blocks>::change(uint64_t column, float by) {
  values_[column] += by;
  const float* h = matrix_ + column * left_.size();
  float* left = left_.data();
  for (size_t i = 0; i < left_.size(); ++i) left[i] -= by * h[i];
}

template <class Blocks>
bool BlockDescent<Blocks>::improve_codes(uint64_t first, uint64_t n, UniformScale scale,
                                         uint8_t* codes) {
  bool any = false;
  for (uint64_t c = first; c < first + n; ++c) {
    const float own = matrix_[c * left_.size() + c];
    const uint8_t code = fit_.code(values_[c] + left_[c] / own, scale);
    if (code == codes[c]) continue;
    const float v = fit_.value(code, scale);
    const double by = double{v} - values_[c];
    // What e H e loses.
    const double gain = by * (2.0 * left_[c] - by * own);
    if (!(gain > kLeastGain * by * by * own)) continue;
    change(c, static_cast<float>(by));
    values_[c] = v;
    codes[c] = code;
    any = true;
  }
  return any;
}

template <class Blocks>
std::pair<double, double> BlockDescent<Blocks>::along(uint64_t first,
                                                      std::span<const float> v) const {
  double linear = 0, square = 0;
  for (uint64_t i = 0; i < v.size(); ++i) {
    const float* h = matrix_ + (first + i) * left_.size() + first;
    constexpr size_t kLanes = 16;
    std::array<float, kLanes> sums{};
    const uint64_t whole = v.size() / kLanes * kLanes;
    for (uint64_t j = 0; j < whole; j += kLanes) {
      for (uint64_t k = 0; k < kLanes; ++k) sums[k] += v[j + k] * h[j + k];
    }
    for (uint64_t j = whole; j < v.size(); ++j) sums[j - whole] += v[j] * h[j];
    linear += double{v[i]} * left_[first + i];
    square += v[i] * std::accumulate(sums.begin(), sums.end(), 0.0);
  }
  return {linear, square};
}

template <class Blocks>
bool BlockDescent<Blocks>::attempt(uint64_t block, uint64_t first, uint64_t n, Block& b,
                                   const Block& with, const uint8_t* codes) {
  change_.resize(n);
  for (uint64_t i = 0; i < n; ++i) {
    change_[i] = value(block, with, codes, first + i) - values_[first + i];
  }
  const auto [linear, square] = along(first, change_);
  if (!(2 * linear - square > kLeastGain * square)) return false;
  for (uint64_t i = 0; i < n; ++i) {
    if (change_[i] == 0) continue;
    change(first + i, change_[i]);
    values_[first + i] = value(block, with, codes, first + i);
  }
  b = with;
  return true;
}

template <class Blocks>
bool BlockDescent<Blocks>::improve_scale(uint64_t block, uint64_t g, Block& b,
                                         const uint8_t* codes) {
  const uint64_t first = block * fit_.block_length() + g * fit_.group_length();
  bool any = false;
  for (const auto& [scale, least] : kSteps) {
    if (least != 0 && b.dmin == 0) continue;
    Block with = b;
    with.scale[g] += scale;
    with.least[g] += least;
    if (!fit_.holds(with)) continue;
    any |= attempt(block, first, fit_.group_length(), b, with, codes);
  }
  return any;
}

// The best d for all that it stands for, and the best dmin.
template <class Blocks>
bool BlockDescent<Blocks>::improve_shared(uint64_t block, Block& b, const uint8_t* codes) {
  const uint64_t first = block * fit_.block_length();
  const uint64_t length = std::min(fit_.block_length(), left_.size() - first);
  bool any = false;
  for (float Block::*shared : {&Block::d, &Block::dmin}) {
    if (b.*shared == 0) continue;
    Block without = b;
    without.*shared = 0;
    direction_.resize(length);
    for (uint64_t i = 0; i < length; ++i) {
      direction_[i] = (values_[first + i] - value(block, without, codes, first + i)) / b.*shared;
    }
    const auto [linear, square] = along(first, direction_);
    if (!(square > 0)) continue;
    Block with = b;
    with.*shared = fit_.rounded(static_cast<float>(b.*shared + linear / square));
    if (with.*shared != b.*shared) any |= attempt(block, first, length, b, with, codes);
  }
  return any;
}

template class BlockDescent<UniformBlocks>;
template class BlockDescent<GgmlBlocks>;

}  // namespace pith::fit
