// Scalar clusters by dynamic programming: the best split of sorted points into k runs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "pith/math/kmeans.h"

namespace pith::math {
namespace {

// Runs of neighbours that are put together where there are more points.
constexpr uint64_t kMostBins = 1024;
// Beyond so many centroids the asymptotic density of the best ones is as good a start.
constexpr uint64_t kMostExact = 64;
constexpr int kRounds = 50;

// Sums of weights, first and second moments of sorted points up to each.
class Moments {
 public:
  void add(double value, double weight) {
    mass_.push_back(mass_.back() + weight);
    first_.push_back(first_.back() + weight * value);
    second_.push_back(second_.back() + weight * value * value);
  }
  double mass(uint64_t begin, uint64_t end) const { return mass_[end] - mass_[begin]; }
  double mean(uint64_t begin, uint64_t end) const {
    return (first_[end] - first_[begin]) / mass(begin, end);
  }
  // Squared error of one centroid for all in [begin, end).
  double error(uint64_t begin, uint64_t end) const {
    const double m = mass(begin, end), s = first_[end] - first_[begin];
    return m > 0 ? std::max(0.0, second_[end] - second_[begin] - s * s / m) : 0;
  }
  uint64_t size() const { return mass_.size() - 1; }

 private:
  std::vector<double> mass_{0}, first_{0}, second_{0};
};

// Where each of k runs over the bins ends. The best last cut moves only forward with the end, so
// halves are solved within the bounds of their middle.
class Cuts {
 public:
  Cuts(const Moments& bins, uint64_t k)
      : bins_(bins), n_(bins.size()), cost_(n_ + 1), next_(n_ + 1), cut_(k * (n_ + 1)) {
    for (uint64_t end = 0; end <= n_; ++end) cost_[end] = bins_.error(0, end);
    for (uint64_t run = 1; run < k; ++run) {
      solve(run, 0, n_, 0, n_);
      cost_.swap(next_);
    }
    ends_.resize(k);
    uint64_t end = n_;
    for (uint64_t run = k; run-- > 0;) {
      ends_[run] = end;
      end = cut_[run * (n_ + 1) + end];
    }
  }
  const std::vector<uint64_t>& ends() const { return ends_; }

 private:
  void solve(uint64_t run, uint64_t low, uint64_t high, uint64_t least, uint64_t most) {
    const uint64_t end = low + (high - low) / 2;
    double best = std::numeric_limits<double>::infinity();
    uint64_t where = least;
    for (uint64_t cut = least; cut <= std::min(most, end); ++cut) {
      const double cost = cost_[cut] + bins_.error(cut, end);
      if (cost < best) {
        best = cost;
        where = cut;
      }
    }
    next_[end] = best;
    cut_[run * (n_ + 1) + end] = static_cast<uint32_t>(where);
    if (end > low) solve(run, low, end - 1, least, where);
    if (end < high) solve(run, end + 1, high, where, most);
  }

  const Moments& bins_;
  uint64_t n_;
  std::vector<double> cost_, next_;
  std::vector<uint32_t> cut_;
  std::vector<uint64_t> ends_;
};

struct Sorted {
  std::vector<float> values;
  Moments moments;
};

Sorted sorted(std::span<const float> values, std::span<const float> weights) {
  Sorted s;
  if (weights.empty()) {
    s.values.assign(values.begin(), values.end());
    std::ranges::sort(s.values);
    for (const float v : s.values) s.moments.add(v, 1);
    return s;
  }
  std::vector<uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::sort(order, [&](uint32_t a, uint32_t b) {
    return values[a] != values[b] ? values[a] < values[b] : a < b;
  });
  for (const uint32_t i : order) {
    s.values.push_back(values[i]);
    s.moments.add(values[i], weights[i]);
  }
  return s;
}

std::vector<float> means(const Sorted& s, const std::vector<uint64_t>& ends) {
  std::vector<float> out;
  uint64_t begin = 0;
  for (const uint64_t end : ends) {
    const bool any = end > begin && s.moments.mass(begin, end) > 0;
    const float neighbour = begin < s.values.size() ? s.values[begin] : s.values.back();
    out.push_back(any ? static_cast<float>(s.moments.mean(begin, end)) : neighbour);
    begin = end;
  }
  std::ranges::sort(out);
  return out;
}

// Where each value's nearest centroid changes.
std::vector<uint64_t> nearest_ends(const Sorted& s, const std::vector<float>& centroids) {
  std::vector<uint64_t> ends(centroids.size(), s.values.size());
  for (uint64_t c = 0; c + 1 < centroids.size(); ++c) {
    const float middle = centroids[c] / 2 + centroids[c + 1] / 2;
    ends[c] = static_cast<uint64_t>(std::ranges::upper_bound(s.values, middle) - s.values.begin());
  }
  return ends;
}

// Centroids as dense as the cube root of the points' density (Panter and Dite 1951).
std::vector<float> spread(const Sorted& s, const std::vector<uint64_t>& bin_ends, uint64_t k) {
  std::vector<double> measure{0};
  uint64_t begin = 0;
  const auto value = [&](uint64_t i) { return s.values[std::min(i, s.values.size() - 1)]; };
  for (const uint64_t end : bin_ends) {
    const double width = double{value(end)} - value(begin);
    measure.push_back(measure.back() + std::cbrt(s.moments.mass(begin, end) * width * width));
    begin = end;
  }
  std::vector<float> out(k);
  for (uint64_t c = 0, b = 0; c < k; ++c) {
    const double at = (static_cast<double>(c) + 0.5) / static_cast<double>(k) * measure.back();
    while (b + 1 < bin_ends.size() && measure[b + 1] < at) ++b;
    const double low = value(b == 0 ? 0 : bin_ends[b - 1]), high = value(bin_ends[b]);
    const double span = measure[b + 1] - measure[b];
    out[c] = static_cast<float>(low + (span > 0 ? (at - measure[b]) / span : 0) * (high - low));
  }
  return out;
}

std::vector<uint64_t> start(const Sorted& s, uint64_t k) {
  const uint64_t n = s.values.size(), bins = std::min(n, kMostBins);
  std::vector<uint64_t> bin_ends(bins);
  for (uint64_t b = 0; b < bins; ++b) bin_ends[b] = (b + 1) * n / bins;
  std::vector<uint64_t> ends(k);
  if (k >= n) {
    for (uint64_t c = 0; c < k; ++c) ends[c] = std::min(c + 1, n);
    return ends;
  }
  if (k > kMostExact || k >= bins) return nearest_ends(s, spread(s, bin_ends, k));
  if (bins == n) return Cuts(s.moments, k).ends();
  Moments merged;
  uint64_t begin = 0;
  for (const uint64_t end : bin_ends) {
    const double mass = s.moments.mass(begin, end);
    merged.add(mass > 0 ? s.moments.mean(begin, end) : s.values[begin], mass);
    begin = end;
  }
  const Cuts cuts(merged, k);
  for (uint64_t c = 0; c < k; ++c) ends[c] = cuts.ends()[c] == 0 ? 0 : bin_ends[cuts.ends()[c] - 1];
  return ends;
}

}  // namespace

std::vector<float> kmeans_1d(std::span<const float> values, std::span<const float> weights,
                             uint64_t k) {
  if (values.empty()) return std::vector<float>(k);
  const Sorted s = sorted(values, weights);
  std::vector<uint64_t> ends = start(s, k);
  std::vector<float> centroids = means(s, ends);
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<uint64_t> before = ends;
    for (uint64_t c = 0; c + 1 < k; ++c) {
      const float middle = centroids[c] / 2 + centroids[c + 1] / 2;
      ends[c] =
          static_cast<uint64_t>(std::ranges::upper_bound(s.values, middle) - s.values.begin());
    }
    if (ends == before) break;
    centroids = means(s, ends);
  }
  return centroids;
}

}  // namespace pith::math
