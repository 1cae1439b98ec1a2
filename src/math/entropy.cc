#include "pith/math/entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "pith/base/parallel.h"

namespace pith::math {
namespace {

double digamma_of_count(uint64_t n) {
  double sum = -std::numbers::egamma;
  for (uint64_t k = 1; k < n; ++k) sum += 1 / static_cast<double>(k);
  return sum;
}

}  // namespace

double histogram_entropy(std::span<const float> values, uint64_t bins) {
  float least = INFINITY, most = -INFINITY;
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  if (!(least < most) || bins == 0) return 0;
  std::vector<uint64_t> counts(bins);
  const double scale = static_cast<double>(bins) / (double{most} - least);
  uint64_t all = 0;
  for (const float v : values) {
    if (!std::isfinite(v)) continue;
    const auto bin = static_cast<uint64_t>((double{v} - least) * scale);
    ++counts[std::min(bin, bins - 1)];
    ++all;
  }
  double bits = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    const double p = static_cast<double>(count) / static_cast<double>(all);
    bits -= p * std::log2(p);
  }
  return bits;
}

double nearest_neighbour_entropy(const float* vectors, uint64_t count, uint64_t size, int threads) {
  if (count < 2 || size == 0) return 0;
  std::vector<double> logs(count);
  parallel_for(thread_count(threads), count, [&](size_t i) {
    double nearest = INFINITY;
    for (uint64_t j = 0; j < count; ++j) {
      if (j == i) continue;
      double squares = 0;
      for (uint64_t k = 0; k < size; ++k) {
        const double off = double{vectors[i * size + k]} - vectors[j * size + k];
        squares += off * off;
      }
      nearest = std::min(nearest, squares);
    }
    constexpr double kLeast = std::numeric_limits<float>::min();
    logs[i] = std::log(std::max(std::sqrt(nearest), kLeast));
  });
  double mean = 0;
  for (const double l : logs) mean += l / static_cast<double>(count);
  const auto d = static_cast<double>(size);
  const double ball = d / 2 * std::log(std::numbers::pi) - std::lgamma(d / 2 + 1);
  const double nats = d * mean + ball + digamma_of_count(count) - digamma_of_count(1);
  return nats / std::numbers::ln2 / d;
}

}  // namespace pith::math
