// What a sample says, and how far that can be trusted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace pith::audit {

double mean(std::span<const double> values);

// Of the mean, were the values independent: sd / sqrt(n). Nothing for fewer than two values.
std::optional<double> standard_error(std::span<const double> values);

// The value below which a share `q` in [0, 1] of the sorted values lies, interpolated between
// neighbours; NaN of none.
double quantile(std::span<const double> sorted, double q);

struct Interval {
  double low = 0, high = 0;
};

// The middle 95% of the means of 2000 resamples of the groups (percentile bootstrap, Efron 1979).
// Each group is a sum over `counts[i]` values that belong together, the tokens of a window, so what
// they have in common does not make the interval too narrow. Nothing for fewer than two groups.
std::optional<Interval> bootstrap_interval(std::span<const double> sums,
                                           std::span<const uint64_t> counts, uint64_t seed = 0);

}  // namespace pith::audit
