#include "residual_clusters.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pith::recipe {
namespace {

constexpr int kIterations = 60;
constexpr size_t kMostCenters = 254;  // and zero: as many steps as a block may have

// log2 with straight lines between powers of two: near enough to cluster by, exact to invert, and
// the same on every machine.
double straight_log2(double x) {
  int exponent = 0;
  return 2 * std::frexp(x, &exponent) - 2 + exponent;
}

double straight_exp2(double log) {
  const double whole = std::floor(log);
  return std::ldexp(1 + (log - whole), static_cast<int>(whole));
}

// Where an element stands on the line that is clustered; false: nowhere.
bool coordinate(Domain domain, const Pair& p, double& x) {
  switch (domain) {
    case Domain::kSum:
      x = p.value - p.base;
      break;
    case Domain::kProduct:
      if (!(p.value > 0) || !(p.base > 0)) return false;
      x = straight_log2(p.value / p.base);
      break;
    default:
      x = p.value;
  }
  return std::isfinite(x);
}

double square_sum(Domain domain, std::span<const Pair> sample) {
  double sum = 0, x = 0;
  for (const Pair& p : sample) {
    if (coordinate(domain, p, x)) sum += x * x;
  }
  return sum;
}

Domain choose_domain(Role role, std::span<const Pair> sample) {
  if (role == Role::kSecondMoment) return Domain::kProduct;
  if (role == Role::kWeight) return Domain::kSum;
  return square_sum(Domain::kSum, sample) <= square_sum(Domain::kValue, sample) ? Domain::kSum
                                                                                : Domain::kValue;
}

double step_of(Domain domain, double center) {
  const double step = domain == Domain::kProduct ? straight_exp2(center) : center;
  return static_cast<double>(static_cast<float>(step));
}

}  // namespace

Role role_of(std::string_view name) {
  if (name.find("exp_avg_sq") != std::string_view::npos) return Role::kSecondMoment;
  if (name.find("exp_avg") != std::string_view::npos) return Role::kFirstMoment;
  return Role::kWeight;
}

std::vector<double> cluster(std::span<const double> sorted, size_t count) {
  const size_t n = sorted.size();
  count = std::min(count, n);
  std::vector<double> sums(n + 1, 0), centers(count);
  std::partial_sum(sorted.begin(), sorted.end(), sums.begin() + 1);
  for (size_t c = 0; c < count; ++c) centers[c] = sorted[(2 * c + 1) * n / (2 * count)];
  for (int k = 0; k < kIterations; ++k) {
    size_t first = 0;
    for (size_t c = 0; c < count; ++c) {
      size_t last = n;
      if (c + 1 < count) {
        const double bound = centers[c] + (centers[c + 1] - centers[c]) / 2;
        last = static_cast<size_t>(std::ranges::upper_bound(sorted, bound) - sorted.begin());
        last = std::max(first, last);
      }
      if (last > first) centers[c] = (sums[last] - sums[first]) / static_cast<double>(last - first);
      first = last;
    }
    std::ranges::sort(centers);
  }
  centers.erase(std::unique(centers.begin(), centers.end()), centers.end());
  return centers;
}

ResidualClusters::ResidualClusters(std::span<const Pair> sample, Role role,
                                   const PredictionOptions& options)
    : domain_(choose_domain(role, sample)) {
  std::vector<double> points;
  double x = 0, squares = 0;
  for (const Pair& p : sample) {
    if (!coordinate(domain_, p, x)) continue;
    points.push_back(x);
    squares += x * x;
  }
  if (points.empty()) return;
  threshold_ = options.prune * std::sqrt(squares / static_cast<double>(points.size()));
  std::erase_if(points, [&](double v) { return std::fabs(v) < threshold_ || v == 0; });
  std::ranges::sort(points);
  const size_t count = std::min((size_t{1} << options.bits) - 1, kMostCenters);
  const std::vector<double> centers = cluster(points, count);
  for (size_t c = 0; c < centers.size(); ++c) {
    if (c > 0) bounds_.push_back(centers[c - 1] + (centers[c] - centers[c - 1]) / 2);
    steps_.push_back(step_of(domain_, centers[c]));
  }
}

bool ResidualClusters::step(const Pair& p, double& step) const {
  double x = 0;
  if (!coordinate(domain_, p, x)) return false;
  if (std::fabs(x) < threshold_ || x == 0 || steps_.empty()) {
    step = lossless::steps::neutral(domain_);
  } else {
    step = steps_[static_cast<size_t>(std::ranges::upper_bound(bounds_, x) - bounds_.begin())];
  }
  return true;
}

}  // namespace pith::recipe
