// An element and its base bound the step between them to the interval of all numbers that round to
// the element. The fewest steps that explain all elements are the fewest points that stab all
// intervals: sorted by upper end, the first end not yet stabbed is a point (greedy, optimal).
// Rounding noise of training gives every element its own point, so a small sample refuses it.

#include "steps_find.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

namespace pith::lossless::steps {
namespace {

// The sample: the smallest element, which knows its step best, of so many windows. A small one
// refuses most noise, a larger one the rest.
struct Windows {
  size_t count, length;
};
constexpr Windows kGlance = {448, 16}, kLook = {2048, 32};
// More points than this are noise; of fewer, rare ones become escapes up to a share of elements.
constexpr size_t kMostPoints = 4096;
constexpr size_t kEscapeShare = 64;
// Intervals of a larger block would take too much memory.
constexpr size_t kMostElements = size_t{1} << 23;

struct Interval {
  double low, high;
};

enum class Bound : uint8_t { kInterval, kAny, kNone };

template <class F>
typename F::Bits at(ByteView bytes, size_t i) {
  return load_le<typename F::Bits>(bytes.data() + i * sizeof(typename F::Bits));
}

// Half the distance to the next smaller and next larger magnitude.
template <class F>
std::array<double, 2> half_gaps(typename F::Bits v) {
  using Bits = typename F::Bits;
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  const Bits magnitude = static_cast<Bits>(v & ~kSign);
  const double here = F::value(magnitude), above = F::value(static_cast<Bits>(magnitude + 1));
  if (magnitude == 0) return {above / 2, above / 2};
  const double down = (here - F::value(static_cast<Bits>(magnitude - 1))) / 2;
  return {down, std::isfinite(above) ? (above - here) / 2 : down};
}

template <class F>
Bound bound(typename F::Bits element, typename F::Bits base, Domain domain, Interval& out) {
  const double r = F::value(element), b = F::value(base);
  if (domain == Domain::kValue) {
    out = {r, r};
    return std::isfinite(r) ? Bound::kInterval : Bound::kNone;
  }
  if (!std::isfinite(r) || !std::isfinite(b)) {  // machines differ in what a sum makes of a NaN
    return std::isinf(b) && element == base ? Bound::kAny : Bound::kNone;
  }
  auto [below, above] = half_gaps<F>(element);
  if (std::signbit(r)) std::swap(below, above);
  if (domain == Domain::kSum) {
    const double d = r - b;
    out = {d - below, d + above};
  } else {
    if (b == 0) return element == base ? Bound::kAny : Bound::kNone;
    out = {(r - below) / b, (r + above) / b};
    if (b < 0) std::swap(out.low, out.high);
  }
  return std::isfinite(out.low) && std::isfinite(out.high) ? Bound::kInterval : Bound::kNone;
}

struct Point {
  double low, high;  // all its intervals hold this range
  size_t count;
};

// Empty when there would be more than `most`.
std::vector<Point> stab(std::vector<Interval>& intervals, size_t most) {
  std::ranges::sort(intervals, [](const Interval& a, const Interval& b) {
    return a.high != b.high ? a.high < b.high : a.low < b.low;
  });
  std::vector<Point> points;
  for (const Interval& i : intervals) {
    if (points.empty() || i.low > points.back().high) {
      if (points.size() == most) return {};
      points.push_back({i.low, i.high, 1});
    } else {
      points.back().low = std::max(points.back().low, i.low);
      ++points.back().count;
    }
  }
  return points;
}

template <class F>
bool sample_fits(ByteView raw, ByteView base, Domain domain, Windows windows) {
  using Bits = typename F::Bits;
  constexpr Bits kMagnitude = static_cast<Bits>(~Bits{0}) >> 1;
  const size_t n = raw.size() / sizeof(Bits);
  const size_t stride = std::max<size_t>(1, n / windows.count);
  std::vector<Interval> sample;
  sample.reserve(n / stride + 1);
  for (size_t start = 0; start < n; start += stride) {
    size_t best = start;
    for (size_t i = start; i < std::min({start + windows.length, start + stride, n}); ++i) {
      if ((at<F>(raw, i) & kMagnitude) < (at<F>(raw, best) & kMagnitude)) best = i;
    }
    if (domain == Domain::kProduct && F::value(at<F>(raw, best)) < 0) return false;
    Interval interval;
    if (bound<F>(at<F>(raw, best), at<F>(base, best), domain, interval) == Bound::kInterval) {
      sample.push_back(interval);
    }
  }
  return !sample.empty() && !stab(sample, kMaxSteps).empty();
}

double representative(const Point& p, Domain domain) {
  const double none = neutral(domain);
  return p.low <= none && none <= p.high ? none : p.low + (p.high - p.low) / 2;
}

// The steps of the most frequent points; none when the others have too many elements.
std::vector<double> choose_steps(std::vector<Point> points, size_t elements, Domain domain) {
  if (points.size() > kMaxSteps) {
    std::ranges::stable_sort(points, std::ranges::greater{}, &Point::count);
    size_t dropped = 0;
    for (size_t i = kMaxSteps; i < points.size(); ++i) dropped += points[i].count;
    if (dropped > elements / kEscapeShare) return {};
    points.resize(kMaxSteps);
  }
  std::vector<double> steps;
  steps.reserve(points.size());
  for (const Point& p : points) steps.push_back(representative(p, domain));
  std::ranges::sort(steps);
  return steps;
}

// Gives every element the most frequent of the steps that explain it.
template <class F>
class Assigner {
 public:
  Assigner(ByteView raw, ByteView base, Domain domain, const std::vector<double>& steps)
      : raw_(raw), base_(base), domain_(domain), steps_(steps), counts_(steps.size(), 0) {
    for (size_t i = 0; i < size(); ++i) {
      const auto [first, last] = range(i);
      if (last == first + 1) ++counts_[first];
    }
  }
  size_t size() const { return raw_.size() / sizeof(typename F::Bits); }

  // steps.size() when there is none.
  size_t index(size_t i) const {
    const auto [first, last] = range(i);
    size_t best = steps_.size();
    for (size_t s = first; s < last; ++s) {
      const bool better = best == steps_.size() || counts_[s] > counts_[best];
      if (better && gives(s, i)) best = s;
    }
    return best;
  }

 private:
  bool gives(size_t s, size_t i) const {
    return apply<F>(domain_, F::value(at<F>(base_, i)), steps_[s]) == at<F>(raw_, i);
  }
  std::array<size_t, 2> range(size_t i) const {
    Interval interval;
    switch (bound<F>(at<F>(raw_, i), at<F>(base_, i), domain_, interval)) {
      case Bound::kNone:
        return {0, 0};
      case Bound::kAny:
        return {0, steps_.size()};
      default:
        break;
    }
    const auto first = std::ranges::lower_bound(steps_, interval.low);
    const auto last = std::upper_bound(first, steps_.end(), interval.high);
    return {static_cast<size_t>(first - steps_.begin()),
            static_cast<size_t>(last - steps_.begin())};
  }

  ByteView raw_, base_;
  Domain domain_;
  const std::vector<double>& steps_;
  std::vector<size_t> counts_;
};

}  // namespace

template <class F>
Found find(ByteView raw, ByteView base, Domain domain) {
  const size_t n = raw.size() / sizeof(typename F::Bits);
  if (n > kMostElements || !sample_fits<F>(raw, base, domain, kGlance) ||
      !sample_fits<F>(raw, base, domain, kLook)) {
    return {};
  }
  std::vector<Interval> intervals;
  intervals.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    Interval interval;
    if (bound<F>(at<F>(raw, i), at<F>(base, i), domain, interval) == Bound::kInterval) {
      intervals.push_back(interval);
    }
  }
  Found found;
  found.steps = choose_steps(stab(intervals, kMostPoints), n, domain);
  if (found.steps.empty()) return {};
  const Assigner<F> assigner(raw, base, domain, found.steps);
  found.indices.resize(n);
  for (size_t i = 0; i < n; ++i) {
    const size_t index = assigner.index(i);
    found.indices[i] = static_cast<uint8_t>(index);
    if (index == found.steps.size() && ++found.escapes > n / kEscapeShare + 1) return {};
  }
  return found;
}

template Found find<F16>(ByteView, ByteView, Domain);
template Found find<BF16>(ByteView, ByteView, Domain);
template Found find<F32>(ByteView, ByteView, Domain);
template Found find<F64>(ByteView, ByteView, Domain);

}  // namespace pith::lossless::steps
