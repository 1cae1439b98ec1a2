#include "mutation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pith::budget {
namespace {

// Tries before a mutation is given up, for each part that was switched.
constexpr size_t kTries = 16;

}  // namespace

Mutation::Mutation(const Problem& problem, std::span<const Limit> limits) : problem_(problem) {
  for (const Limit& limit : limits) {
    const auto at = std::find(problem.resources.begin(), problem.resources.end(), limit.of);
    limits_.push_back({static_cast<size_t>(at - problem.resources.begin()), limit.most});
  }
  for (size_t i = 0; i < problem.parts.size(); ++i) {
    const Part& part = problem.parts[i];
    const auto cost = [&](size_t j) {
      double sum = 0;
      for (const Limited& limit : limits_) {
        const double share = part.candidates[j].costs[limit.resource] / limit.most;
        sum +=
            std::isfinite(share) ? share : 0;  // a limit of nothing admits only what costs nothing
      }
      return sum;
    };
    std::vector<size_t> levels(part.candidates.size()), level(part.candidates.size());
    std::iota(levels.begin(), levels.end(), 0);
    std::stable_sort(levels.begin(), levels.end(),
                     [&](size_t a, size_t b) { return cost(a) < cost(b); });
    for (size_t l = 0; l < levels.size(); ++l) level[levels[l]] = l;
    if (!part.fixed && levels.size() > 1) open_.push_back(i);
    levels_.push_back(std::move(levels));
    level_.push_back(std::move(level));
  }
}

bool Mutation::shift(std::vector<size_t>& chosen, size_t part, bool up) const {
  const size_t level = level_[part][chosen[part]];
  if (up ? level + 1 == levels_[part].size() : level == 0) return false;
  chosen[part] = levels_[part][up ? level + 1 : level - 1];
  return true;
}

bool Mutation::within(const std::vector<size_t>& chosen) const {
  // As totals() sums, without the rest of it.
  return std::all_of(limits_.begin(), limits_.end(), [&](const Limited& limit) {
    double sum = 0;
    for (size_t i = 0; i < chosen.size(); ++i) {
      sum += problem_.parts[i].candidates[chosen[i]].costs[limit.resource];
    }
    return sum <= limit.most;
  });
}

std::optional<std::vector<size_t>> Mutation::mutate(const std::vector<size_t>& parent,
                                                    size_t most_switches, Draws& draws) const {
  std::vector<size_t> child = parent;
  std::vector<bool> switched(parent.size(), false);
  const auto pick = [&] { return open_[draws.below(open_.size())]; };
  // The smaller of two draws, so that few switches are the rule.
  const size_t switches = 1 + std::min(draws.below(most_switches), draws.below(most_switches));
  const bool up_first = draws.below(2) == 0;
  for (size_t done = 0, tries = 0; done < switches && tries < kTries * switches; ++tries) {
    const size_t part = pick();
    if (!shift(child, part, up_first)) continue;
    switched[part] = true;
    ++done;
  }
  for (size_t tries = 0; tries < kTries * switches; ++tries) {
    if (up_first && within(child)) break;
    const size_t part = pick();
    if (switched[part]) continue;
    const size_t before = child[part];
    if (shift(child, part, !up_first) && !up_first && !within(child)) child[part] = before;
  }
  if (child == parent || !within(child)) return std::nullopt;
  return child;
}

}  // namespace pith::budget
