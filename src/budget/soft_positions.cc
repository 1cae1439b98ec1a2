#include "pith/budget/soft_positions.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

// Adam's, but that fewer steps are forgotten: there are few of them.
constexpr double kMomentum = 0.8, kSquares = 0.95;

void check(std::span<const SoftList> lists, double limit, const SoftOptions& o) {
  if (!(o.rate > 0) || !(o.width > 0) || std::isinf(o.rate) || std::isinf(o.width)) {
    fail(ErrorKind::kUsage, "rate and width must be above 0");
  }
  double least = 0;
  for (const SoftList& list : lists) {
    if (!(list.cost > 0) || std::isinf(list.cost)) {
      fail(ErrorKind::kUsage, "an element's cost must be above 0, not {}", list.cost);
    }
    if (list.elements > 0) least += list.cost;
  }
  if (!(limit >= least)) {
    fail(ErrorKind::kLimit, "a limit of {} is less than one element of each takes, {}", limit,
         least);
  }
}

// Shares of lists.
class Shares {
 public:
  Shares(std::span<const SoftList> lists, double limit)
      : lists_(lists), limit_(limit), shares_(lists.size(), 0) {
    settle();
  }

  double operator[](size_t i) const { return shares_[i]; }
  double& operator[](size_t i) { return shares_[i]; }
  double whole(size_t i) const {  // cost of a list
    return static_cast<double>(lists_[i].elements) * lists_[i].cost;
  }
  bool open(size_t i) const { return lists_[i].elements > 0; }

  // All more or less by the same, within what lists have, so that they cost what the limit says.
  void settle() {
    double low = -2, high = 2;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      (cost(middle) > limit_ ? high : low) = middle;
    }
    for (size_t i = 0; i < shares_.size(); ++i) shares_[i] = moved(i, low);
  }

 private:
  double moved(size_t i, double by) const {
    if (!open(i)) return 0;
    return std::clamp(shares_[i] + by, 1 / static_cast<double>(lists_[i].elements), 1.0);
  }
  double cost(double by) const {
    double sum = 0;
    for (size_t i = 0; i < shares_.size(); ++i) sum += moved(i, by) * whole(i);
    return sum;
  }

  std::span<const SoftList> lists_;
  double limit_;
  std::vector<double> shares_;
};

// By which a gate lies behind the cut, in widths.
double behind(uint64_t elements, double share, double width, size_t j) {
  const auto n = static_cast<double>(elements);
  return (share * n - static_cast<double>(j) - 0.5) / std::max(width * n, 0.5);
}

Gates gates_of(std::span<const SoftList> lists, const Shares& shares, double width) {
  Gates gates(lists.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    for (size_t j = 0; j < lists[i].elements; ++j) {
      const double t = std::tanh(behind(lists[i].elements, shares[i], width, j));
      gates[i].push_back(static_cast<float>(0.5 * t + 0.5));
    }
  }
  return gates;
}

// Of the loss by a list's share.
double slope(const SoftList& list, double share, double width, std::span<const double> by_gates) {
  if (by_gates.size() != list.elements) {
    fail(ErrorKind::kUsage, "{} derivatives for {} gates", by_gates.size(), list.elements);
  }
  const auto n = static_cast<double>(list.elements);
  double sum = 0;
  for (size_t j = 0; j < by_gates.size(); ++j) {
    const double t = std::tanh(behind(list.elements, share, width, j));
    sum += by_gates[j] * 0.5 * (1 - t * t) * n / std::max(width * n, 0.5);
  }
  if (!std::isfinite(sum)) fail(ErrorKind::kData, "a derivative of the loss is no number");
  return sum;
}

// Slopes for a unit of cost, beyond those of all together.
std::vector<double> beyond_average(const Shares& shares, std::vector<double> slopes) {
  double all = 0, costs = 0;
  for (size_t i = 0; i < slopes.size(); ++i) {
    all += slopes[i];
    costs += shares.whole(i);
  }
  for (size_t i = 0; i < slopes.size(); ++i) {
    slopes[i] = shares.open(i) ? slopes[i] / shares.whole(i) - all / costs : 0;
  }
  return slopes;
}

}  // namespace

SoftPositions learn_positions(std::span<const SoftList> lists, double limit, const GatedLoss& loss,
                              const SoftOptions& options) {
  check(lists, limit, options);
  Shares shares(lists, limit);
  SoftPositions out;
  std::vector<double> first(lists.size()), second(lists.size()), mean(lists.size());
  std::vector<std::vector<double>> gradient;
  double averaged = 0;
  for (uint64_t step = 0; step < options.steps; ++step) {
    out.losses.push_back(loss(gates_of(lists, shares, options.width), step, gradient));
    if (!std::isfinite(out.losses.back())) fail(ErrorKind::kData, "the loss is no number");
    std::vector<double> slopes(lists.size());
    for (size_t i = 0; i < lists.size(); ++i) {
      slopes[i] = slope(lists[i], shares[i], options.width, gradient.at(i));
    }
    slopes = beyond_average(shares, std::move(slopes));
    const auto t = static_cast<double>(step + 1);
    const double rate =
        options.rate * (1 - static_cast<double>(step) / static_cast<double>(options.steps));
    for (size_t i = 0; i < lists.size(); ++i) {
      first[i] = kMomentum * first[i] + (1 - kMomentum) * slopes[i];
      second[i] = kSquares * second[i] + (1 - kSquares) * slopes[i] * slopes[i];
      const double root = std::sqrt(second[i] / (1 - std::pow(kSquares, t)));
      if (root > 0) shares[i] -= rate * first[i] / (1 - std::pow(kMomentum, t)) / root;
    }
    shares.settle();
    // Steps swing around the best: their mean over the second half is nearer to it.
    if (2 * (step + 1) > options.steps) {
      for (size_t i = 0; i < lists.size(); ++i) mean[i] += shares[i];
      averaged += 1;
    }
    report(options.progress, step + 1, options.steps);
  }
  for (size_t i = 0; i < lists.size(); ++i) {
    if (averaged > 0) shares[i] = mean[i] / averaged;
  }
  shares.settle();
  for (size_t i = 0; i < lists.size(); ++i) {
    out.positions.push_back(shares[i] * static_cast<double>(lists[i].elements));
  }
  return out;
}

}  // namespace pith::budget
