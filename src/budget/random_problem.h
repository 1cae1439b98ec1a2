// Small problems for tests, and what a search through all choices finds.
#pragma once

#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "pith/base/random.h"
#include "pith/budget/solve.h"

namespace pith::budget::testing {

struct Draw {
  uint64_t seed;
  uint64_t n = 0;
  double unit() { return random_unit(seed, n++); }
  size_t below(size_t bound) { return static_cast<size_t>(unit() * static_cast<double>(bound)); }
};

struct Shape {
  size_t parts = 6, most_candidates = 5, resources = 1;
  bool whole = true;  // costs and losses; there are ties then
};

inline Problem random_problem(uint64_t seed, const Shape& shape = {}) {
  Draw draw{seed};
  Problem problem;
  for (size_t k = 0; k < shape.resources; ++k) problem.resources.push_back(fmt::format("r{}", k));
  for (size_t i = 0; i < shape.parts; ++i) {
    Part part{fmt::format("part{}", i), {}};
    const size_t n = 1 + draw.below(shape.most_candidates);
    for (size_t j = 0; j < n; ++j) {
      Candidate candidate{fmt::format("c{}", j), 0, {}};
      const auto amount = [&] {
        return shape.whole ? static_cast<double>(draw.below(20)) : std::exp(4 * draw.unit());
      };
      candidate.loss = amount();
      for (size_t k = 0; k < shape.resources; ++k) candidate.costs.push_back(amount());
      part.candidates.push_back(candidate);
    }
    if (draw.below(8) == 0) part.fixed = draw.below(n);
    problem.parts.push_back(part);
  }
  return problem;
}

// Loss falls with cost as if each part were a Gaussian source of its own variance and size.
inline Problem bits_problem(uint64_t seed, size_t parts) {
  Draw draw{seed};
  Problem problem{{"bytes"}, {}};
  for (size_t i = 0; i < parts; ++i) {
    const double elements = std::floor(std::exp(5 + 4 * draw.unit())), weight = draw.unit();
    Part part{fmt::format("layer{}", i), {}};
    for (int bits = 2; bits <= 8; ++bits) {
      part.candidates.push_back(
          {fmt::format("uniform({})", bits),
           weight * elements * std::exp2(-2 * bits) * (0.9 + 0.2 * draw.unit()),
           {std::ceil(elements * bits / 8)}});
    }
    problem.parts.push_back(part);
  }
  return problem;
}

// The least value within the limits of all choices; nothing where there is none.
inline std::optional<double> brute_force(const Problem& problem, const Goal& goal) {
  std::optional<double> best;
  std::vector<size_t> chosen(problem.parts.size(), 0);
  for (;;) {
    bool allowed = true;
    for (size_t i = 0; i < chosen.size(); ++i) {
      allowed = allowed && chosen[i] == problem.parts[i].fixed.value_or(chosen[i]);
    }
    if (allowed) {
      const Totals sums = totals(problem, chosen);
      const double value = sums.of(problem, goal.least);
      if (meets(problem, sums, goal.within) && (!best || value < *best)) best = value;
    }
    size_t i = 0;
    while (i < chosen.size() && ++chosen[i] == problem.parts[i].candidates.size()) chosen[i++] = 0;
    if (i == chosen.size()) return best;
  }
}

// A limit somewhere between the smallest possible and what the dearest choice costs.
inline Limit random_limit(const Problem& problem, const std::string& of, Draw& draw, bool whole) {
  double most = 0;
  for (const Part& part : problem.parts) {
    double greatest = 0;
    for (const Candidate& candidate : part.candidates) {
      greatest = std::max(greatest, Totals{candidate.loss, candidate.costs}.of(problem, of));
    }
    most += greatest;
  }
  const double least = smallest(problem, of);
  const double limit = least + draw.unit() * (most - least);
  return {of, whole ? std::floor(limit) : limit};
}

}  // namespace pith::budget::testing
