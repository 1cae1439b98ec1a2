// Removals in many rows or blocks that are spent where they cost least.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

namespace pith::fit {

// How many removals each row gets, of `all`: always the cheapest next one, of equals that of the
// first row. costs: of each row's removals in their order, of which there may be too few.
inline std::vector<uint64_t> cheapest(const std::vector<std::vector<double>>& costs, uint64_t all) {
  using Next = std::pair<double, uint64_t>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> next;
  std::vector<uint64_t> counts(costs.size());
  for (uint64_t r = 0; r < costs.size(); ++r) {
    if (!costs[r].empty()) next.emplace(costs[r][0], r);
  }
  for (; all > 0 && !next.empty(); --all) {
    const uint64_t r = next.top().second;
    next.pop();
    if (++counts[r] < costs[r].size()) next.emplace(costs[r][counts[r]], r);
  }
  return counts;
}

}  // namespace pith::fit
