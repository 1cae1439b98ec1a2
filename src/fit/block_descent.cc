#include "block_descent.h"

#include <array>
#include <cmath>
#include <numeric>

#include "pith/base/half.h"

namespace pith::fit {
namespace {

using form::UniformScale;

// A change is taken where it lowers the error by more than rounding might say it does.
constexpr double kLeastGain = 1e-5;

float f16(double v) {
  const float f = float_from_f16(f16_from_float(static_cast<float>(v)));
  return std::isfinite(f) ? f : 0;
}

}  // namespace

double BlockDescent::run(std::span<const float> weights, std::span<float> left, int sweeps,
                         Block* blocks, uint8_t* codes) {
  const uint64_t n = weights.size(), length = fit_.block_length(), group = fit_.group_length();
  left_ = left;
  values_.resize(n);
  for (uint64_t c = 0; c < n; ++c) {
    values_[c] = value(c / length, blocks[c / length], codes, c);
  }
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    bool any = false;
    for (uint64_t block = 0; block < n / length; ++block) {
      Block& b = blocks[block];
      for (uint64_t g = 0; g < length / group; ++g) {
        const uint64_t first = block * length + g * group;
        any |= improve_codes(first, fit_.scale(b, g), codes);
        if (length > group) any |= improve_scale(block, g, b, codes);
      }
      any |= improve_shared(block, b, codes);
    }
    if (!any) break;
  }
  double error = 0;
  for (uint64_t c = 0; c < n; ++c) error += (double{weights[c]} - values_[c]) * left[c];
  return error;
}

float BlockDescent::value(uint64_t block, const Block& b, const uint8_t* codes,
                          uint64_t column) const {
  const uint64_t g = (column - block * fit_.block_length()) / fit_.group_length();
  return fit_.value(codes[column], fit_.scale(b, g));
}

void BlockDescent::change(uint64_t column, float by) {
  values_[column] += by;
  const float* h = matrix_ + column * left_.size();
  float* left = left_.data();
  for (size_t i = 0; i < left_.size(); ++i) left[i] -= by * h[i];
}

bool BlockDescent::improve_codes(uint64_t first, UniformScale scale, uint8_t* codes) {
  bool any = false;
  for (uint64_t c = first; c < first + fit_.group_length(); ++c) {
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

std::pair<double, double> BlockDescent::along(uint64_t first, std::span<const float> v) const {
  double linear = 0, square = 0;
  for (uint64_t i = 0; i < v.size(); ++i) {
    const float* h = matrix_ + (first + i) * left_.size() + first;
    std::array<float, 16> sums{};
    for (uint64_t j = 0; j < v.size(); j += sums.size()) {
      for (uint64_t k = 0; k < sums.size(); ++k) sums[k] += v[j + k] * h[j + k];
    }
    linear += double{v[i]} * left_[first + i];
    square += v[i] * std::accumulate(sums.begin(), sums.end(), 0.0);
  }
  return {linear, square};
}

bool BlockDescent::attempt(uint64_t block, uint64_t first, uint64_t n, Block& b, const Block& with,
                           const uint8_t* codes) {
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

constexpr std::pair<int, int> kSteps[] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};

bool BlockDescent::improve_scale(uint64_t block, uint64_t g, Block& b, const uint8_t* codes) {
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
bool BlockDescent::improve_shared(uint64_t block, Block& b, const uint8_t* codes) {
  const uint64_t length = fit_.block_length(), first = block * length;
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
    with.*shared = f16(b.*shared + linear / square);
    if (with.*shared != b.*shared) any |= attempt(block, first, length, b, with, codes);
  }
  return any;
}

}  // namespace pith::fit
