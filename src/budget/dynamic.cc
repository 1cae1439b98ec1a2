#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "improve.h"
#include "pith/base/error.h"
#include "prices.h"
#include "solvers.h"

namespace pith::budget {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr uint32_t kMostBins = 65535;  // so that an option of a part is a uint16_t
constexpr double kWhole = 0x1p53;      // whole numbers up to here are exact

struct Bins {
  double unit = 0;
  uint32_t count = 0;
  bool exact = false;  // every weight is a multiple of the unit
};

// The greatest unit of which all weights are multiples, if it makes few enough bins; else a share
// of the slack.
Bins choose_bins(const Table& table, uint32_t most) {
  uint64_t unit = 0;
  bool whole = table.slack[0] <= kWhole;
  for (const double weight : table.weight) {
    whole = whole && weight == std::floor(weight);
    if (!whole) break;
    unit = std::gcd(unit, static_cast<uint64_t>(weight));
  }
  if (whole && unit > 0) {
    const double count = std::floor(table.slack[0] / static_cast<double>(unit));
    if (count <= most) return {static_cast<double>(unit), static_cast<uint32_t>(count), true};
  }
  return {table.slack[0] / most, most, false};
}

struct Item {
  uint32_t bins = 0;
  double value = 0;
  size_t option = 0;
};

// A part's options in bins, `up` or down; of those in the same bin the one of the least value.
std::vector<Item> quantize(const Table& table, size_t part, const Bins& bins, bool up) {
  std::vector<Item> items;
  for (size_t option = table.first[part]; option < table.first[part + 1]; ++option) {
    const double exactly = table.weight[option] / bins.unit;
    // A weight that is a multiple of the unit but for the division stays in its bin.
    const double rounded = up ? std::ceil(exactly - 1e-9) : std::floor(exactly);
    if (rounded > bins.count) continue;
    const Item item{static_cast<uint32_t>(rounded), table.value[option], option};
    if (!items.empty() && items.back().bins == item.bins) {
      items.back() = item;  // values fall with the weight
    } else {
      items.push_back(item);
    }
  }
  return items;
}

// The parts that have a choice.
std::vector<size_t> open_parts(const Table& table) {
  std::vector<size_t> open;
  for (size_t i = 0; i < table.parts(); ++i) {
    if (table.first[i + 1] - table.first[i] > 1) open.push_back(i);
  }
  return open;
}

class Knapsack {
 public:
  Knapsack(const Table& table, std::span<const size_t> open, const Bins& bins, bool up,
           const Progress& progress)
      : table_(table), open_(open), best_(bins.count + 1, 0), next_(bins.count + 1) {
    for (const size_t part : open) items_.push_back(quantize(table, part, bins, up));
    taken_.resize(open.size() * best_.size());
    for (size_t i = 0; i < open.size(); ++i) {
      report(progress, i, open.size());
      add(i);
    }
  }

  // The least value within all bins.
  double value() const { return best_.back(); }

  Choice choice() const {
    Choice chosen(table_.first.begin(), table_.first.end() - 1);
    size_t at = best_.size() - 1;
    for (size_t i = items_.size(); i-- > 0;) {
      const Item& item = items_[i][taken_[i * best_.size() + at]];
      chosen[open_[i]] = item.option;
      at -= item.bins;
    }
    return chosen;
  }

 private:
  // best_[c]: the least value of the parts so far within c bins. Among equals the lightest item.
  void add(size_t i) {
    uint16_t* taken = taken_.data() + i * best_.size();
    std::fill(next_.begin(), next_.end(), kInfinity);
    for (size_t j = 0; j < items_[i].size(); ++j) {
      const Item& item = items_[i][j];
      for (size_t c = item.bins; c < best_.size(); ++c) {
        const double value = best_[c - item.bins] + item.value;
        if (!(value < next_[c])) continue;
        next_[c] = value;
        taken[c] = static_cast<uint16_t>(j);
      }
    }
    best_.swap(next_);
  }

  const Table& table_;
  std::span<const size_t> open_;
  std::vector<std::vector<Item>> items_;
  std::vector<double> best_, next_;
  std::vector<uint16_t> taken_;
};

}  // namespace

Found solve_dynamic(const Table& table, const Options& options) {
  if (options.bins < 1 || options.bins > kMostBins) {
    fail(ErrorKind::kUsage, "dynamic programming takes 1 to {} bins, not {}", kMostBins,
         options.bins);
  }
  // The price decides most of many parts; the bins are for the others.
  Found found = solve_lagrangian(table, options);
  const double value = value_of(table, *found.choice);
  const Table reduced = reduce(table, found.prices, value);
  if (!(reduced.slack[0] > 0)) return found;

  const std::vector<size_t> open = open_parts(reduced);
  const uint64_t affordable = options.memory / (open.size() * sizeof(uint16_t) + 32);
  if (affordable < 2) {
    fail(ErrorKind::kLimit, "dynamic programming over {} parts does not fit {} bytes", open.size(),
         options.memory);
  }
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(options.bins, affordable - 1));
  const Bins bins = choose_bins(reduced, most);
  const auto consider = [&](Choice choice) {
    improve(table, choice);
    if (value_of(table, choice) < value_of(table, *found.choice)) found.choice = std::move(choice);
  };
  // Weights rounded up admit only choices that fit.
  consider(
      unreduced(table, reduced, Knapsack(reduced, open, bins, true, options.progress).choice()));
  if (bins.exact) {
    found.bound = value_of(table, *found.choice);
    return found;
  }
  // Rounded down they admit all that do, which bounds what the rounding lost, and the best of them
  // is rarely much beyond the limit.
  const Knapsack down(reduced, open, bins, false, options.progress);
  Choice choice = unreduced(table, reduced, down.choice());
  if (repair(table, found.prices, choice)) consider(std::move(choice));
  const double bound = reduced.base - table.base + down.value();
  found.bound = std::min(std::max(found.bound, bound), value_of(table, *found.choice));
  found.note = fmt::format("{} in {} steps of {:.6g}", table.name[0], bins.count, bins.unit);
  return found;
}

}  // namespace pith::budget
