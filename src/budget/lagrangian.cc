#include <algorithm>
#include <cmath>
#include <limits>

#include "hull.h"
#include "improve.h"
#include "prices.h"
#include "solvers.h"

namespace pith::budget {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kIterations = 500;
constexpr int kPatience = 15;     // iterations without a better bound before steps are halved
constexpr int kRepairEvery = 10;  // iterations; each better bound is also tried

Choice cheapest(const Table& table) { return {table.first.begin(), table.first.end() - 1}; }

// One limit: the price falls until the next step along the hulls would exceed it. What every part
// chooses at that price, where the line through that step lies, bounds every choice from below.
Found solve_one(const Table& table) {
  Choice choice = cheapest(table);
  double left = table.slack[0], price = 0;
  for (const Step& step : hull_steps(table)) {
    if (step.weight > left) {
      price = std::min(step.slope * table.slack[0], 1e300);
      break;
    }
    left -= step.weight;
    choice[step.part] = step.option;
  }
  const std::vector<double> prices = {price};
  const double bound = std::max(0.0, at_prices(table, prices).bound);
  improve(table, choice);
  return {choice, bound, prices};
}

// Prices rise where a slack is exceeded and fall where it is not (subgradient with Polyak's steps
// towards the best value found: Held, Wolfe and Crowder 1974). Choices on the way are repaired and
// improved; the best is kept.
class Subgradient {
 public:
  Subgradient(const Table& table, double values, const Progress& progress)
      : table_(table),
        values_(values),
        progress_(progress),
        prices_(table.limits(), 0),
        best_prices_(prices_) {}

  Found run() {
    double reach = 1.5;
    int stale = 0;
    for (int i = 0; i < kIterations; ++i) {
      report(progress_, static_cast<uint64_t>(i), kIterations);
      const Priced now = at_prices(table_, prices_, values_);
      const bool better = now.bound > bound_;
      if (better) {
        bound_ = now.bound;
        best_prices_ = prices_;
      }
      if (values_ == 0 && bound_ > 1e-12) return {.none = true};
      stale = better ? 0 : stale + 1;
      if (better || i % kRepairEvery == 0) consider(now.choice);
      if (best_ && (values_ == 0 || best_value_ - bound_ <= 1e-12 * best_value_)) break;
      if (stale == kPatience) {
        stale = 0;
        reach /= 2;
      }
      if (!step(now, reach)) break;
    }
    return {best_, std::max(0.0, bound_), best_prices_};
  }

 private:
  void consider(Choice choice) {
    if (!repair(table_, prices_, choice)) return;
    if (values_ != 0) improve(table_, choice);
    const double value = value_of(table_, choice);
    if (best_ && value >= best_value_) return;
    best_ = std::move(choice);
    best_value_ = value;
  }

  // False where the prices are the best there are.
  bool step(const Priced& now, double reach) {
    double norm = 0;
    for (size_t k = 0; k < prices_.size(); ++k) {
      // A price of nothing cannot fall.
      if (prices_[k] > 0 || now.excess[k] > 0) norm += now.excess[k] * now.excess[k];
    }
    if (!(norm > 0)) return false;
    const double target = values_ == 0 ? now.bound + 1 : best_ ? best_value_ : greatest();
    const double length = reach * std::max(target - now.bound, 1e-9 * std::abs(target)) / norm;
    for (size_t k = 0; k < prices_.size(); ++k) {
      prices_[k] = std::max(0.0, prices_[k] + length * now.excess[k]);
    }
    return true;
  }

  double greatest() const {
    double sum = 0;
    for (size_t i = 0; i < table_.parts(); ++i) {
      const auto at = table_.value.begin();
      sum += *std::max_element(at + static_cast<ptrdiff_t>(table_.first[i]),
                               at + static_cast<ptrdiff_t>(table_.first[i + 1]));
    }
    return sum;
  }

  const Table& table_;
  double values_;
  const Progress& progress_;
  std::vector<double> prices_, best_prices_;
  std::optional<Choice> best_;
  double best_value_ = 0, bound_ = -kInfinity;
};

// Any choice within the limits, or the proof that there is none.
Found feasible(const Table& table, const Progress& progress) {
  return table.limits() == 1 ? Found{.choice = cheapest(table)}
                             : Subgradient(table, 0, progress).run();
}

}  // namespace

Found solve_lagrangian(const Table& table, const Options& options) {
  if (table.limits() == 1) return solve_one(table);
  Found found = Subgradient(table, 1, options.progress).run();
  return found.choice ? found : feasible(table, options.progress);
}

Found solve_greedy(const Table& table, const Options& options) {
  Found found = feasible(table, options.progress);
  if (found.choice) improve(table, *found.choice);
  return found;
}

}  // namespace pith::budget
