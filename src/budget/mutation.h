// Offspring of a choice that stay within limits.
#pragma once

#include <optional>
#include <vector>

#include "pith/base/random.h"
#include "pith/budget/problem.h"

namespace pith::budget {

// A sequence of random numbers.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}
  size_t below(size_t bound) {
    return static_cast<size_t>(random_unit(seed_, n_++) * static_cast<double>(bound));
  }

 private:
  uint64_t seed_, n_ = 0;
};

class Mutation {
 public:
  // Candidates are levels in the order of their costs, each as a share of its limit.
  Mutation(const Problem& problem, std::span<const Limit> limits);

  bool possible() const { return !open_.empty(); }

  // Up to `most_switches` parts a level up, then others down until the limits hold; or, as often,
  // first down and then up while they hold. Nothing where that failed or changed nothing.
  std::optional<std::vector<size_t>> mutate(const std::vector<size_t>& parent, size_t most_switches,
                                            Draws& draws) const;

 private:
  struct Limited {
    size_t resource;
    double most;
  };

  // False where the part has no such level.
  bool shift(std::vector<size_t>& chosen, size_t part, bool up) const;
  bool within(const std::vector<size_t>& chosen) const;

  const Problem& problem_;
  std::vector<Limited> limits_;
  std::vector<size_t> open_;                 // parts that have a choice
  std::vector<std::vector<size_t>> levels_;  // of each part: candidates, the cheapest first
  std::vector<std::vector<size_t>> level_;   // of each part's candidates
};

}  // namespace pith::budget
