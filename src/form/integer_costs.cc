#include "integer_costs.h"

#include <cmath>

namespace pith::form {
namespace {

// Below x, of a normal variable and a share of one with long tails.
double distribution(double x) {
  const double tail = x < 0 ? std::exp(x) / 2 : 1 - std::exp(-x) / 2;
  return 0.95 * 0.5 * std::erfc(-x * 0.7071067811865476) + 0.05 * tail;
}

// What ends the interval of values that a code >= 0 is chosen for, of variables so wide. Bits draw
// codes towards zero; in odd states, whose neighbours on the trellis have a zero of their own, zero
// is hardly chosen unless it is most of what there is. Constants fit what comes out when costs are
// made those of the codes chosen, again and again.
double upper_end(int code, bool odd, double spread) {
  const double drawn = 0.08 / (spread * spread);
  if (!odd) return (code + 0.5) * (1 + drawn) + 0.012;
  if (code == 0) return std::min(0.25, 0.8 * std::exp(-5 * spread));
  return code * (1 + drawn);
}
double lower_end(int code, bool odd, double spread) {
  return code > 0 ? upper_end(code - 1, odd, spread) : -upper_end(-code, odd, spread);
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
      const auto end = [&](int s) {
        const int code = s * width;
        return lower_end(code, odd != 0, spread) / spread;
      };
      double below = distribution(end(-kMostSymbol));
      for (int s = -kMostSymbol; s <= kMostSymbol; ++s) {
        const double until = distribution(end(s + 1));
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
