// Parts that are to get the same candidate, as one part: all matrices of a kind, or of a layer.
//
//   const Groups groups(problem, kinds);
//   groups.chosen(solve(groups.problem(), goal).chosen)
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pith/budget/problem.h"

namespace pith::budget {

class Groups {
 public:
  // group: of each part, by name; a part for each group, in the order in which they appear. Its
  // candidates are those that all its parts have by name, in the order of its first part, and their
  // losses and costs are summed. Throws ErrorKind::kUsage where there is not one group for each
  // part, kData, with the group's name, where its parts have no candidate in common or are fixed.
  Groups(const Problem& problem, std::span<const std::string> group);

  const Problem& problem() const { return problem_; }
  // The places of a group's parts in the original problem.
  const std::vector<size_t>& members(size_t group) const { return members_[group]; }
  // Of a part of the original problem, where its group has this candidate.
  size_t candidate(size_t part, size_t of_group) const { return candidates_[part][of_group]; }
  // A candidate for every part of the original problem, from one for every group. Throws
  // ErrorKind::kUsage for what is no choice.
  std::vector<size_t> chosen(std::span<const size_t> of_groups) const;

 private:
  Problem problem_;
  std::vector<std::vector<size_t>> members_;     // of each group
  std::vector<std::vector<size_t>> candidates_;  // of each part, by the candidate of its group
};

}  // namespace pith::budget
