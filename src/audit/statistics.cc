#include "pith/audit/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pith/base/random.h"

namespace pith::audit {

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? std::numeric_limits<double>::quiet_NaN()
                        : sum / static_cast<double>(values.size());
}

std::optional<double> standard_error(std::span<const double> values) {
  if (values.size() < 2) return std::nullopt;
  const double middle = mean(values), n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - middle) * (value - middle);
  return std::sqrt(squares / (n - 1) / n);
}

double quantile(std::span<const double> sorted, double q) {
  if (sorted.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::optional<Interval> bootstrap_interval(std::span<const double> sums,
                                           std::span<const uint64_t> counts, uint64_t seed) {
  constexpr uint64_t kResamples = 2000;
  const uint64_t n = sums.size();
  if (n < 2) return std::nullopt;
  std::vector<double> means;
  for (uint64_t i = 0; i < kResamples; ++i) {
    double sum = 0, count = 0;
    for (uint64_t j = 0; j < n; ++j) {
      const auto drawn = static_cast<size_t>(random_unit(seed, i * n + j) * static_cast<double>(n));
      sum += sums[drawn];
      count += static_cast<double>(counts[drawn]);
    }
    means.push_back(sum / count);
  }
  std::sort(means.begin(), means.end());
  return Interval{quantile(means, 0.025), quantile(means, 0.975)};
}

}  // namespace pith::audit
