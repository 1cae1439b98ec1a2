#include "integer_costs.h"

#include <cmath>

namespace pith::form {
namespace {

// Below x, of a normal variable and a share of one with long tails.
double distribution(double x) {
  const double tail = x < 0 ? std::exp(x) / 2 : 1 - std::exp(-x) / 2;
  return 0.95 * 0.5 * std::erfc(-x * 0.7071067811865476) + 0.05 * tail;
}

// The lower end of what is rounded to a code.
double lower_end(int code, bool halves) {
  if (!halves) return code - 0.5;
  if (code > 1) return code - 1.0;
  if (code == 1) return 0.25;
  if (code == 0) return -0.25;
  if (code == -1) return -1;
  return code;
}

// Codes cost no more than this before an escape.
constexpr double kLeastShare = 1e-5;

}  // namespace

IntegerCosts IntegerCosts::parametric(double widest, bool trellis, int first, int last) {
  IntegerCosts out;
  for (int odd = 0; odd < (trellis ? 2 : 1); ++odd) {
    for (int k = first; k <= last; ++k) {
      const double spread = widest * std::exp2((k - (kIntegerClasses - 1)) / 4.0);
      auto& costs = out.costs_[static_cast<size_t>(odd)][static_cast<size_t>(k)];
      const int width = 1 << low_bits_of(k);
      const bool halves = trellis && odd != 0;
      double below = distribution(lower_end(-kMostSymbol * width, halves) / spread);
      for (int s = -kMostSymbol; s <= kMostSymbol; ++s) {
        const double until = distribution(lower_end((s + 1) * width, halves) / spread);
        costs[symbol_place(s)] = static_cast<float>(-std::log2(until - below + kLeastShare));
        below = until;
      }
      costs[symbol_place(kIntegerEscape)] =
          static_cast<float>(-std::log2(kLeastShare) + kEscapeBits);
    }
  }
  return out;
}

void IntegerCosts::update(const IntegerHistogram& histogram) {
  constexpr double kBefore = 64;
  for (size_t odd = 0; odd < 2; ++odd) {
    for (size_t k = 0; k < kIntegerClasses; ++k) {
      const IntegerCounts& counts = histogram.counts[odd][k];
      auto& costs = costs_[odd][k];
      double total = kBefore;
      for (const uint64_t c : counts) total += static_cast<double>(c);
      if (total == kBefore) continue;
      for (size_t i = 0; i < counts.size(); ++i) {
        const double extra = i == symbol_place(kIntegerEscape) ? kEscapeBits : 0;
        const double before = std::exp2(extra - double{costs[i]});
        const double share = (static_cast<double>(counts[i]) + kBefore * before) / total;
        costs[i] = static_cast<float>(extra - std::log2(share));
      }
    }
  }
}

}  // namespace pith::form
