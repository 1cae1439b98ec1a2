#include "prices.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace pith::budget {
namespace {

// Of the terms of a bound, for what is lost where they cancel.
constexpr double kRounding = 1e-14;

double priced(const Table& table, std::span<const double> prices, double values, size_t option) {
  double sum = values * table.value[option];
  for (size_t k = 0; k < prices.size(); ++k) {
    sum += prices[k] * (table.weights(option)[k] / table.slack[k]);
  }
  return sum;
}

// Takes the least of the options from `begin` on off each of them.
double take_off(std::vector<double>& column, size_t begin, size_t stride) {
  double least = std::numeric_limits<double>::infinity();
  for (size_t at = begin; at < column.size(); at += stride) least = std::min(least, column[at]);
  for (size_t at = begin; at < column.size(); at += stride) column[at] -= least;
  return least;
}

}  // namespace

Priced at_prices(const Table& table, std::span<const double> prices, double values) {
  Priced best{Choice(table.parts()), 0, std::vector<double>(table.limits(), -1)};
  for (size_t i = 0; i < table.parts(); ++i) {
    double least = std::numeric_limits<double>::infinity();
    for (size_t option = table.first[i]; option < table.first[i + 1]; ++option) {
      const double sum = priced(table, prices, values, option);
      if (sum < least) {
        least = sum;
        best.choice[i] = option;
      }
    }
    best.bound += least;
    for (size_t k = 0; k < prices.size(); ++k) {
      best.excess[k] += table.weights(best.choice[i])[k] / table.slack[k];
    }
  }
  const double all = std::accumulate(prices.begin(), prices.end(), 0.0);
  best.bound = (best.bound - all) - kRounding * (best.bound + all);
  return best;
}

Table reduce(const Table& table, std::span<const double> prices, double value) {
  const Priced best = at_prices(table, prices);
  const double room = (value - best.bound) + 1e-9 * value;
  const size_t limits = table.limits();
  Table less;
  less.slack = table.slack;
  less.name = table.name;
  less.base = table.base;
  for (size_t i = 0; i < table.parts(); ++i) {
    const double least = priced(table, prices, 1, best.choice[i]);
    const size_t begin = less.value.size();
    for (size_t option = table.first[i]; option < table.first[i + 1]; ++option) {
      if (priced(table, prices, 1, option) - least > room) continue;
      less.value.push_back(table.value[option]);
      less.candidate.push_back(table.candidate[option]);
      const auto weights = table.weights(option);
      less.weight.insert(less.weight.end(), weights.begin(), weights.end());
    }
    less.base += take_off(less.value, begin, 1);
    for (size_t k = 0; k < limits; ++k) {
      less.slack[k] -= take_off(less.weight, begin * limits + k, limits);
    }
    less.first.push_back(less.value.size());
  }
  return less;
}

Choice unreduced(const Table& table, const Table& reduced, const Choice& choice) {
  Choice original(choice.size());
  for (size_t i = 0; i < choice.size(); ++i) {
    const auto begin = table.candidate.begin() + static_cast<ptrdiff_t>(table.first[i]);
    const auto end = table.candidate.begin() + static_cast<ptrdiff_t>(table.first[i + 1]);
    const auto at = std::find(begin, end, reduced.candidate[choice[i]]);
    original[i] = static_cast<size_t>(at - table.candidate.begin());
  }
  return original;
}

}  // namespace pith::budget
