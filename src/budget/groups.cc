#include "pith/budget/groups.h"

#include <algorithm>
#include <optional>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

std::optional<size_t> place_of(const Part& part, std::string_view name) {
  const auto found = std::ranges::find(part.candidates, name, &Candidate::name);
  if (found == part.candidates.end()) return {};
  return static_cast<size_t>(found - part.candidates.begin());
}

}  // namespace

Groups::Groups(const Problem& problem, std::span<const std::string> group)
    : problem_{.resources = problem.resources, .parts = {}}, candidates_(problem.parts.size()) {
  if (group.size() != problem.parts.size()) {
    fail(ErrorKind::kUsage, "groups of {} parts for a problem of {}", group.size(),
         problem.parts.size());
  }
  for (size_t i = 0; i < group.size(); ++i) {
    const auto found = std::ranges::find(problem_.parts, group[i], &Part::name);
    const auto at = static_cast<size_t>(found - problem_.parts.begin());
    if (at == members_.size()) {
      problem_.parts.push_back({.name = group[i], .candidates = {}});
      members_.emplace_back();
    }
    if (problem.parts[i].fixed) fail(ErrorKind::kData, "{}: a part of it is fixed", group[i]);
    members_[at].push_back(i);
  }
  for (size_t g = 0; g < members_.size(); ++g) {
    for (const Candidate& first : problem.parts[members_[g][0]].candidates) {
      Candidate sum{first.name, 0, std::vector<double>(problem.resources.size())};
      std::vector<size_t> places;
      for (const size_t i : members_[g]) {
        const std::optional<size_t> place = place_of(problem.parts[i], first.name);
        if (!place) break;
        const Candidate& c = problem.parts[i].candidates[*place];
        sum.loss += c.loss;
        for (size_t k = 0; k < sum.costs.size(); ++k) sum.costs[k] += c.costs[k];
        places.push_back(*place);
      }
      if (places.size() < members_[g].size()) continue;
      for (size_t i = 0; i < places.size(); ++i) candidates_[members_[g][i]].push_back(places[i]);
      problem_.parts[g].candidates.push_back(std::move(sum));
    }
    if (problem_.parts[g].candidates.empty()) {
      fail(ErrorKind::kData, "{}: its parts have no candidate in common", problem_.parts[g].name);
    }
  }
}

std::vector<size_t> Groups::chosen(std::span<const size_t> of_groups) const {
  totals(problem_, of_groups);  // throws for what is no choice
  std::vector<size_t> out(candidates_.size());
  for (size_t g = 0; g < members_.size(); ++g) {
    for (const size_t i : members_[g]) out[i] = candidates_[i][of_groups[g]];
  }
  return out;
}

}  // namespace pith::budget
