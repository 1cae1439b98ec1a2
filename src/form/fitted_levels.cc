#include "fitted_levels.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace pith::form {
namespace {

// Calls f with the elements of group after group, in the order of panels.
template <class Function>
void for_each_group(const UniformParameters& p, MatrixView matrix, const Function& f) {
  const uint64_t cols = matrix.shape.cols, length = group_length(p, cols);
  for (uint64_t first = 0; first < matrix.shape.rows && cols > 0; first += kPanelRows) {
    const uint64_t last = std::min(first + kPanelRows, matrix.shape.rows);
    for (uint64_t at = 0; at < cols; at += length) {
      for (uint64_t r = first; r < last; ++r) {
        f(matrix.row(r).subspan(at, std::min(length, cols - at)));
      }
    }
  }
}

}  // namespace

std::vector<float> fitted_levels(const UniformParameters& p, MatrixView matrix) {
  constexpr int kBins = 1 << 14, kRounds = 60;
  std::vector<double> count(kBins), sum(kBins);
  for_each_group(p, matrix, [&](std::span<const float> w) {
    const auto [low, high] = std::ranges::minmax(w);
    const float largest = std::max(std::fabs(low), std::fabs(high));
    for (const float v : w) {
      const double share = largest > 0 ? v / largest : 0;
      const auto bin = static_cast<size_t>((share + 1) / 2 * (kBins - 1) + 0.5);
      count[bin] += 1;
      sum[bin] += share;
    }
  });
  double all = 0;
  for (const double c : count) all += c;
  const size_t n = size_t{1} << p.bits;
  std::vector<double> levels;
  double seen = 0;
  for (size_t bin = 0; bin < kBins; ++bin) {  // quantiles to begin with
    seen += count[bin];
    while (levels.size() < n && all > 0 &&
           seen >= all * (static_cast<double>(levels.size()) + 0.5) / static_cast<double>(n)) {
      levels.push_back(sum[bin] / count[bin]);
    }
  }
  levels.resize(n, 0);
  for (int round = 0; round < kRounds; ++round) {
    size_t bin = 0;
    for (size_t i = 0; i < n; ++i) {
      const double high = i + 1 < n ? (levels[i] + levels[i + 1]) / 2 : 2;
      double mass = 0, total = 0;
      for (; bin < kBins && 2.0 * static_cast<double>(bin) / (kBins - 1) - 1 <= high; ++bin) {
        mass += count[bin];
        total += sum[bin];
      }
      if (mass > 0) levels[i] = total / mass;
    }
  }
  std::ranges::sort(levels);
  return {levels.begin(), levels.end()};
}

}  // namespace pith::form
