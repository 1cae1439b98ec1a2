#include "pith/math/threshold_clusters.h"

#include <algorithm>
#include <cmath>

namespace pith::math {
namespace {

// A run of the sorted values.
struct Cluster {
  uint64_t begin, end;
};

class Sorted {
 public:
  explicit Sorted(std::span<const float> values) : values_(values.begin(), values.end()) {
    std::ranges::sort(values_);
    sums_.push_back(0);
    for (const float v : values_) sums_.push_back(sums_.back() + v);
  }

  uint64_t size() const { return values_.size(); }
  double mean(Cluster c) const {
    return (sums_[c.end] - sums_[c.begin]) / static_cast<double>(c.end - c.begin);
  }
  // Of the member that is farthest from the mean.
  double radius(Cluster c) const {
    const double m = mean(c);
    return std::max(m - values_[c.begin], values_[c.end - 1] - m);
  }
  // The first value that is not below.
  uint64_t from(double value) const {
    return static_cast<uint64_t>(
        std::ranges::lower_bound(values_, value, {}, [](float v) { return double{v}; }) -
        values_.begin());
  }

 private:
  std::vector<float> values_;
  std::vector<double> sums_;
};

// Members to the nearest of the means; clusters that are left without are gone.
std::vector<Cluster> assigned(const Sorted& sorted, const std::vector<Cluster>& clusters) {
  std::vector<Cluster> out;
  uint64_t begin = 0;
  for (size_t i = 0; i < clusters.size(); ++i) {
    uint64_t end = sorted.size();
    if (i + 1 < clusters.size()) {
      end = std::max(begin,
                     sorted.from((sorted.mean(clusters[i]) + sorted.mean(clusters[i + 1])) / 2));
    }
    if (end > begin) out.push_back({begin, end});
    begin = end;
  }
  return out;
}

std::vector<Cluster> split(const Sorted& sorted, const std::vector<Cluster>& clusters,
                           double distance, uint64_t most) {
  std::vector<Cluster> out;
  uint64_t left = most - std::min<uint64_t>(most, clusters.size());
  for (const Cluster& c : clusters) {
    const uint64_t middle = sorted.from(sorted.mean(c));
    if (left > 0 && sorted.radius(c) > distance && middle > c.begin && middle < c.end) {
      out.push_back({c.begin, middle});
      out.push_back({middle, c.end});
      --left;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::vector<Cluster> merged(const Sorted& sorted, const std::vector<Cluster>& clusters,
                            double distance) {
  std::vector<Cluster> out;
  for (const Cluster& c : clusters) {
    const Cluster both{out.empty() ? c.begin : out.back().begin, c.end};
    if (!out.empty() && sorted.radius(both) <= distance) {
      out.back() = both;
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

std::vector<float> threshold_clusters(std::span<const float> values, double distance,
                                      const ThresholdClusterOptions& options) {
  if (values.empty()) return {};
  const Sorted sorted(values);
  std::vector<Cluster> clusters = {{0, sorted.size()}};
  for (int round = 0; round < options.rounds; ++round) {
    const auto same = [](const Cluster& a, const Cluster& b) {
      return a.begin == b.begin && a.end == b.end;
    };
    auto next =
        merged(sorted, split(sorted, assigned(sorted, clusters), distance, options.most), distance);
    const bool still = std::ranges::equal(next, clusters, same);
    clusters = std::move(next);
    if (still) break;
  }
  std::vector<float> means;
  for (const Cluster& c : clusters) means.push_back(static_cast<float>(sorted.mean(c)));
  return means;
}

}  // namespace pith::math
