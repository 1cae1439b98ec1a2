#include "pith/budget/rate_distortion.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

void check(std::span<const Source> sources) {
  double loss = 0, elements = 0, floors = 0;
  for (const Source& s : sources) {
    const auto require = [&](bool sane, std::string_view what, double value) {
      if (!sane) fail(ErrorKind::kData, "source '{}': {} is {}", s.name, what, value);
    };
    require(std::isfinite(s.loss) && s.loss >= 0, "the loss", s.loss);
    require(std::isfinite(s.elements) && s.elements > 0, "the number of elements", s.elements);
    require(std::isfinite(s.least_bits) && s.least_bits >= 0, "the floor", s.least_bits);
    require(s.most_bits >= s.least_bits, "the cap, below the floor,", s.most_bits);
    loss += s.loss;
    elements += s.elements;
    floors += s.elements * s.least_bits;
  }
  if (!std::isfinite(loss + elements + floors)) {
    fail(ErrorKind::kData, "the sums over all sources overflow");
  }
}

// The rates at a level of half the binary logarithm of the water.
Rates at_level(std::span<const Source> sources, double level) {
  Rates rates;
  rates.water = std::exp2(2 * level);
  for (const Source& s : sources) {
    const double needed = (std::log2(s.loss) - std::log2(s.elements)) / 2 - level;
    const double bits = s.loss > 0 ? std::clamp(needed, s.least_bits, s.most_bits) : s.least_bits;
    rates.bits.push_back(bits);
    rates.total_bits += bits * s.elements;
    rates.loss += s.loss * std::exp2(-2 * bits);
  }
  return rates;
}

// The highest level, within what doubles can be, at which nothing has more than its floor.
double highest_level(std::span<const Source> sources) {
  double level = -1100;
  for (const Source& s : sources) {
    if (s.loss > 0) {
      level = std::max(level, (std::log2(s.loss) - std::log2(s.elements)) / 2 - s.least_bits);
    }
  }
  return level;
}

// The level nearest to `from` at which `wanted` holds, as it does from some level on in the
// direction of `to`, where it holds.
template <class Wanted>
double bisect(double from, double to, const Wanted& wanted) {
  for (;;) {
    const double middle = from + (to - from) / 2;
    if (middle == from || middle == to) return to;
    (wanted(middle) ? to : from) = middle;
  }
}

}  // namespace

Rates rates_within_bits(std::span<const Source> sources, double total_bits) {
  check(sources);
  const double high = highest_level(sources);
  const auto within = [&](double level) {
    return at_level(sources, level).total_bits <= total_bits;
  };
  if (!within(high)) {
    fail(ErrorKind::kLimit, "bits: at most {} cannot be met, the smallest possible is {}",
         total_bits, at_level(sources, high).total_bits);
  }
  double low = high;
  for (double down = 1; within(low); down *= 2) {
    if (low < -2200) return at_level(sources, low);  // all caps, or more than losses can fall
    low -= down;
  }
  return at_level(sources, bisect(low, high, within));
}

Rates rates_within_loss(std::span<const Source> sources, double loss) {
  check(sources);
  const auto within = [&](double level) { return at_level(sources, level).loss <= loss; };
  const double high = highest_level(sources);
  if (within(high)) return at_level(sources, high);
  if (loss <= 0) fail(ErrorKind::kLimit, "loss: no number of bits brings it down to {}", loss);
  double low = high;
  for (double down = 1; !within(low); down *= 2) {
    if (low < -2200) {
      fail(ErrorKind::kLimit, "loss: at most {} cannot be met, the smallest possible is {}", loss,
           at_level(sources, low).loss);
    }
    low -= down;
  }
  return at_level(sources, bisect(high, low, within));
}

}  // namespace pith::budget
