#include "pith/budget/problem.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

void require_amount(double amount, std::string_view what, const Part& part, size_t candidate) {
  if (std::isfinite(amount) && amount >= 0) return;
  fail(ErrorKind::kData,
       "part '{}', candidate {} ('{}'): {} is {}, must be finite and not negative", part.name,
       candidate, part.candidates[candidate].name, what, amount);
}

void check_part(const Problem& problem, const Part& part) {
  if (part.candidates.empty()) {
    fail(ErrorKind::kData, "part '{}' has no candidates", part.name);
  }
  if (part.fixed && *part.fixed >= part.candidates.size()) {
    fail(ErrorKind::kData, "part '{}' is fixed at candidate {} of {}", part.name, *part.fixed,
         part.candidates.size());
  }
  for (size_t j = 0; j < part.candidates.size(); ++j) {
    const Candidate& candidate = part.candidates[j];
    if (candidate.costs.size() != problem.resources.size()) {
      fail(ErrorKind::kData, "part '{}', candidate {} ('{}'): {} costs for {} resources", part.name,
           j, candidate.name, candidate.costs.size(), problem.resources.size());
    }
    require_amount(candidate.loss, kLoss, part, j);
    for (size_t k = 0; k < candidate.costs.size(); ++k) {
      require_amount(candidate.costs[k], problem.resources[k], part, j);
    }
  }
}

double amount(const Candidate& candidate, std::optional<size_t> resource) {
  return resource ? candidate.costs[*resource] : candidate.loss;
}

// A resource's index; nothing is the loss.
std::optional<size_t> resource_of(const Problem& problem, std::string_view name) {
  if (name == kLoss) return std::nullopt;
  const auto found = std::find(problem.resources.begin(), problem.resources.end(), name);
  if (found == problem.resources.end()) {
    fail(ErrorKind::kUsage, "'{}' is no resource of this budget", name);
  }
  return static_cast<size_t>(found - problem.resources.begin());
}

// Sum over the parts of the least or greatest amount that a choice can have.
template <class Better>
double extreme(const Problem& problem, std::string_view name, Better better) {
  const std::optional<size_t> resource = resource_of(problem, name);
  double sum = 0;
  for (const Part& part : problem.parts) {
    double best = amount(part.candidates[part.fixed.value_or(0)], resource);
    if (!part.fixed) {
      for (const Candidate& candidate : part.candidates) {
        if (better(amount(candidate, resource), best)) best = amount(candidate, resource);
      }
    }
    sum += best;
  }
  return sum;
}

}  // namespace

void check(const Problem& problem) {
  for (size_t k = 0; k < problem.resources.size(); ++k) {
    const std::string& name = problem.resources[k];
    const auto before = problem.resources.begin() + static_cast<ptrdiff_t>(k);
    if (name.empty() || name == kLoss ||
        std::find(problem.resources.begin(), before, name) != before) {
      fail(ErrorKind::kUsage, "resource {} is named '{}': names are unique, not empty and not '{}'",
           k, name, kLoss);
    }
  }
  for (const Part& part : problem.parts) check_part(problem, part);
  const auto require_sum = [&](std::string_view name) {
    if (!std::isfinite(extreme(problem, name, std::greater<>()))) {
      fail(ErrorKind::kData, "{}: the sum over all parts overflows", name);
    }
  };
  require_sum(kLoss);
  for (const std::string& name : problem.resources) require_sum(name);
}

double Totals::of(const Problem& problem, std::string_view name) const {
  const std::optional<size_t> resource = resource_of(problem, name);
  return resource ? costs.at(*resource) : loss;
}

Totals totals(const Problem& problem, std::span<const size_t> chosen) {
  if (chosen.size() != problem.parts.size()) {
    fail(ErrorKind::kUsage, "{} candidates are chosen for {} parts", chosen.size(),
         problem.parts.size());
  }
  Totals sums{0, std::vector<double>(problem.resources.size())};
  for (size_t i = 0; i < chosen.size(); ++i) {
    const Part& part = problem.parts[i];
    if (chosen[i] >= part.candidates.size() || (part.fixed && chosen[i] != *part.fixed)) {
      fail(ErrorKind::kUsage, "part '{}' cannot have candidate {}", part.name, chosen[i]);
    }
    const Candidate& candidate = part.candidates[chosen[i]];
    sums.loss += candidate.loss;
    for (size_t k = 0; k < sums.costs.size(); ++k) sums.costs[k] += candidate.costs[k];
  }
  return sums;
}

bool meets(const Problem& problem, const Totals& totals, std::span<const Limit> limits) {
  return std::all_of(limits.begin(), limits.end(), [&](const Limit& limit) {
    return totals.of(problem, limit.of) <= limit.most;
  });
}

double smallest(const Problem& problem, std::string_view name) {
  return extreme(problem, name, std::less<>());
}

}  // namespace pith::budget
