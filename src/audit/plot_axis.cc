#include "plot_axis.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace pith::audit {
namespace {

constexpr double kSteps[] = {1, 2, 5};

// The largest of 1, 2 or 5 times a power of ten that is at most `value`; value > 0.
double step_below(double value) {
  // A value that is a step but for rounding is that step.
  const double power = std::pow(10, std::floor(std::log10(value * (1 + 1e-9))));
  double best = power;
  for (const double s : kSteps) {
    if (s * power <= value * (1 + 1e-9)) best = s * power;
  }
  return best;
}

double step_above(double value) {
  const double below = step_below(value);
  if (below >= value * (1 - 1e-9)) return below;
  const double power = std::pow(10, std::floor(std::log10(below * (1 + 1e-9))));
  for (const double s : kSteps) {
    if (s * power > below * (1 + 1e-9)) return s * power;
  }
  return 10 * power;
}

std::string number(double v) { return fmt::format("{:.6g}", std::abs(v) < 1e-12 ? 0 : v); }

}  // namespace

PlotAxis::PlotAxis(double low, double high, double from, double to, bool logarithmic)
    : low_(low), high_(high), from_(from), to_(to), logarithmic_(logarithmic) {
  if (logarithmic_) {
    low_ = step_below(low);
    high_ = step_above(high);
    if (high_ <= low_) high_ = 10 * low_;
    const bool many = high_ / low_ > 300;  // only powers of ten have numbers
    for (double power = std::pow(10, std::floor(std::log10(low_ * (1 + 1e-9))));
         power <= high_ * (1 + 1e-9); power *= 10) {
      for (const double s : kSteps) {
        const double v = s * power;
        if (v < low_ * (1 - 1e-9) || v > high_ * (1 + 1e-9)) continue;
        marks_.push_back({v, many && s != 1 ? "" : number(v)});
      }
    }
    return;
  }
  // So many marks must be numbers of their own.
  high_ = std::max(high_, low_ + std::max(std::abs(low_) * 1e-6, high_ > low_ ? 0.0 : 1.0));
  const double step = step_above((high_ - low_) / 10);
  const auto first = std::floor(low_ / step + 1e-9), last = std::ceil(high_ / step - 1e-9);
  low_ = first * step;
  high_ = last * step;
  for (double k = first; k <= last; ++k) marks_.push_back({k * step, number(k * step)});
}

double PlotAxis::place(double value) const {
  const double t = logarithmic_ ? std::log(value / low_) / std::log(high_ / low_)
                                : (value - low_) / (high_ - low_);
  return from_ + std::clamp(t, 0.0, 1.0) * (to_ - from_);
}

}  // namespace pith::audit
