#include "conflict.h"

#include <algorithm>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

std::vector<Limit> without(std::span<const Limit> limits, size_t left_out) {
  std::vector<Limit> others;
  for (size_t k = 0; k < limits.size(); ++k) {
    if (k != left_out) others.push_back(limits[k]);
  }
  return others;
}

// The least of a limited quantity within the other limits.
Attempt least_of(const Problem& problem, std::span<const Limit> limits, size_t k,
                 const Options& options) {
  return attempt(problem, {limits[k].of, without(limits, k)}, options);
}

bool conflict(const Problem& problem, std::span<const Limit> limits, const Options& options) {
  if (limits.size() < 2) return false;
  const Attempt least = least_of(problem, limits, 0, options);
  return least.none || (least.solution && least.solution->bound > limits[0].most);
}

// Of limits that conflict, those without which they would not.
std::vector<Limit> smallest_conflict(const Problem& problem, std::vector<Limit> limits,
                                     const Options& options) {
  for (size_t k = 0; k < limits.size();) {
    if (std::vector<Limit> fewer = without(limits, k); conflict(problem, fewer, options)) {
      limits = std::move(fewer);
    } else {
      ++k;
    }
  }
  return limits;
}

}  // namespace

void fail_conflict(const Problem& problem, const Goal& goal, bool none, const Options& options) {
  Options search = options;
  search.solver = Solver::kAuto;
  std::vector<Limit> limits = goal.within;
  // A solver that gives up early may leave open what the others can prove.
  none = none || conflict(problem, limits, search);
  if (none) limits = smallest_conflict(problem, std::move(limits), search);
  std::string asked, instead;
  for (size_t k = 0; k < limits.size(); ++k) {
    asked += fmt::format("{}{} at most {}", k == 0 ? "" : ", ", limits[k].of, limits[k].most);
    const Attempt least = least_of(problem, limits, k, search);
    if (!least.solution) continue;
    instead += fmt::format(
        "{}{} {}{}", instead.empty() ? "; with the other limits as they are: " : ", ", limits[k].of,
        least.solution->value, least.solution->optimal() ? "" : " or less");
  }
  fail(ErrorKind::kLimit, "{}: {}{}", asked,
       none ? "cannot be met together" : "no choice was found that meets them together", instead);
}

}  // namespace pith::budget
