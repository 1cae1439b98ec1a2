#include "pith/budget/blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

struct Combination {
  std::vector<size_t> chosen;
  double loss = 0;  // the sum of the parts'
  std::vector<double> costs;
};

std::vector<Combination> extended(const std::vector<Combination>& all, const Part& part) {
  std::vector<Combination> longer;
  for (const Combination& combination : all) {
    for (size_t j = 0; j < part.candidates.size(); ++j) {
      if (part.fixed && j != *part.fixed) continue;
      Combination next = combination;
      next.chosen.push_back(j);
      next.loss += part.candidates[j].loss;
      for (size_t k = 0; k < next.costs.size(); ++k) next.costs[k] += part.candidates[j].costs[k];
      longer.push_back(std::move(next));
    }
  }
  return longer;
}

template <class Amount>
size_t least(const std::vector<Combination>& all, const Amount& amount) {
  size_t best = 0;
  for (size_t i = 1; i < all.size(); ++i) {
    if (amount(all[i]) < amount(all[best])) best = i;
  }
  return best;
}

// At most so many: the cheapest in each resource, that of the least loss, and the least loss in
// each of equal ranges of cost, where a cost is the sum over the resources of shares of the
// greatest.
std::vector<Combination> thinned(std::vector<Combination> all, size_t most) {
  if (all.size() <= most) return all;
  const size_t resources = all[0].costs.size();
  std::vector<bool> kept(all.size(), false);
  std::vector<double> cost(all.size(), 0);
  for (size_t k = 0; k < resources; ++k) {
    kept[least(all, [&](const Combination& c) { return c.costs[k]; })] = true;
    double greatest = 0;
    for (const Combination& c : all) greatest = std::max(greatest, c.costs[k]);
    for (size_t i = 0; i < all.size(); ++i) {
      cost[i] += greatest > 0 ? all[i].costs[k] / greatest : 0;
    }
  }
  kept[least(all, [](const Combination& c) { return c.loss; })] = true;

  const size_t ranges = most > resources + 1 ? most - resources - 1 : 0;
  const auto [low, high] = std::minmax_element(cost.begin(), cost.end());
  const double width = (*high - *low) / static_cast<double>(std::max<size_t>(ranges, 1));
  std::vector<size_t> best(ranges, all.size());
  for (size_t i = 0; i < all.size() && ranges > 0; ++i) {
    const double at = width > 0 ? (cost[i] - *low) / width : 0;
    size_t& holder = best[std::min(static_cast<size_t>(at), ranges - 1)];
    if (holder == all.size() || all[i].loss < all[holder].loss) holder = i;
  }
  for (const size_t i : best) {
    if (i < all.size()) kept[i] = true;
  }
  std::vector<Combination> fewer;
  for (size_t i = 0; i < all.size(); ++i) {
    if (kept[i]) fewer.push_back(std::move(all[i]));
  }
  return fewer;
}

void check_blocks(std::span<const Block> blocks, size_t parts) {
  size_t at = 0;
  for (const Block& block : blocks) {
    if (block.first != at || block.last <= block.first || block.last > parts) {
      fail(ErrorKind::kUsage, "block of parts {} to {} where one from {} on is next, of {} parts",
           block.first, block.last, at, parts);
    }
    at = block.last;
  }
  if (at != parts) fail(ErrorKind::kUsage, "the blocks cover {} of {} parts", at, parts);
}

}  // namespace

std::vector<Block> entropy_blocks(std::span<const double> entropies, double threshold,
                                  size_t most_parts) {
  if (most_parts < 1) fail(ErrorKind::kUsage, "a block has at least one part");
  std::vector<Block> blocks;
  for (size_t begin = 0; begin < entropies.size();) {
    size_t end = begin;
    while (end < entropies.size() && entropies[end] >= threshold) ++end;
    if (end == begin && !(entropies[begin] < threshold)) {
      fail(ErrorKind::kData, "the entropy of part {} is {}, the threshold {}", begin,
           entropies[begin], threshold);
    }
    const size_t run = std::max<size_t>(end - begin, 1);
    const size_t pieces = (run - 1) / most_parts + 1;
    for (size_t piece = 0; piece < pieces; ++piece) {
      blocks.push_back({begin + run * piece / pieces, begin + run * (piece + 1) / pieces});
    }
    begin += run;
  }
  return blocks;
}

Blocks::Blocks(const Problem& problem, std::span<const Block> blocks, const BlockLoss& loss,
               size_t most_candidates, const Progress& progress) {
  check(problem);
  check_blocks(blocks, problem.parts.size());
  const size_t most = std::max(most_candidates, problem.resources.size() + 1);
  problem_.resources = problem.resources;
  for (const Block& block : blocks) {
    report(progress, problem_.parts.size(), blocks.size());
    std::vector<Combination> all = {{{}, 0, std::vector<double>(problem.resources.size())}};
    for (size_t i = block.first; i < block.last; ++i) {
      all = thinned(extended(all, problem.parts[i]), most);
    }
    const Part& first = problem.parts[block.first];
    const bool alone = block.last - block.first == 1;
    Part part{alone ? first.name
                    : fmt::format("{} to {}", first.name, problem.parts[block.last - 1].name),
              {}};
    std::vector<std::vector<size_t>> combinations;
    for (Combination& combination : all) {
      std::vector<std::string_view> names;
      for (size_t i = 0; i < combination.chosen.size(); ++i) {
        names.push_back(problem.parts[block.first + i].candidates[combination.chosen[i]].name);
      }
      if (!alone) {
        combination.loss = loss(block, combination.chosen);
        ++evaluations_;
      }
      part.candidates.push_back({fmt::format("{}", fmt::join(names, ", ")), combination.loss,
                                 std::move(combination.costs)});
      combinations.push_back(std::move(combination.chosen));
    }
    problem_.parts.push_back(std::move(part));
    combinations_.push_back(std::move(combinations));
  }
  check(problem_);
}

std::vector<size_t> Blocks::chosen(std::span<const size_t> of_blocks) const {
  if (of_blocks.size() != combinations_.size()) {
    fail(ErrorKind::kUsage, "{} candidates are chosen for {} blocks", of_blocks.size(),
         combinations_.size());
  }
  std::vector<size_t> chosen;
  for (size_t b = 0; b < of_blocks.size(); ++b) {
    const std::vector<size_t>& combination = combinations_[b].at(of_blocks[b]);
    chosen.insert(chosen.end(), combination.begin(), combination.end());
  }
  return chosen;
}

}  // namespace pith::budget
