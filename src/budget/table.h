// What the solvers work on: a problem and its goal as numbers only, without what cannot be chosen
// or never pays.
//
// Every part has options; of each part's values and weights its least is taken off, so a slack is
// what a limit leaves for choices above the cheapest. Options that alone exceed a slack are left
// out, then limits that can no longer be exceeded, then options that another one of the same part
// is at least as good as in value and in every weight. A part's options stand in the order of their
// first weight; with one limit their values then fall strictly.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/budget/problem.h"

namespace pith::budget {

struct Table {
  std::vector<size_t> first = {0};  // of part i: options first[i] … first[i + 1] - 1
  std::vector<double> value;        // of an option, above the part's least
  std::vector<double> weight;       // [option * limits + limit], above the part's least
  std::vector<size_t> candidate;    // of an option
  std::vector<double> slack;        // of a limit, positive
  std::vector<std::string> name;    // of a limit
  double base = 0;                  // the sum of the parts' least values

  size_t parts() const { return first.size() - 1; }
  size_t limits() const { return slack.size(); }
  std::span<const double> weights(size_t option) const {
    return {weight.data() + option * limits(), limits()};
  }
};

// An option for every part.
using Choice = std::vector<size_t>;

// The goal's limits, the smallest where one comes twice. Throws ErrorKind::kUsage for names that
// the problem does not have, NaN and limits on what is to be the least; kLimit, with the smallest
// that can be met, for a limit that even the parts' smallest candidates exceed.
std::vector<Limit> possible_limits(const Problem& problem, const Goal& goal);

// Limits are taken smaller by `margin` of themselves, against the rounding of sums; not where all
// weights are whole numbers, whose sums are exact. Nothing where a part has no candidate that
// leaves room for the others, so that the limits cannot be met together.
std::optional<Table> make_table(const Problem& problem, std::string_view least,
                                std::span<const Limit> limits, double margin = 0);

// The same with one weight, whatever it sums to.
Table curve_table(const Problem& problem, std::string_view resource);

std::vector<size_t> candidates(const Table& table, const Choice& choice);
double value_of(const Table& table, const Choice& choice);  // above the base
// Of every limit: what is left of its slack; negative where it is exceeded.
std::vector<double> left_of(const Table& table, const Choice& choice);
bool fits(std::span<const double> left);

}  // namespace pith::budget
