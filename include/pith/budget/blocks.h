// Consecutive parts searched together where the loss of one depends on its neighbours: a block is a
// part of another problem, its candidates the combinations of its parts' candidates, and the loss
// of each is measured for the block as a whole. That problem is solved as any other.
//
//   const std::vector<Block> blocks = entropy_blocks(entropies, threshold, 3);
//   const Blocks joined(problem, blocks, loss_of_block);
//   joined.chosen(solve(joined.problem(), goal).chosen)
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "pith/base/progress.h"
#include "pith/budget/problem.h"

namespace pith::budget {

// Parts first … last - 1.
struct Block {
  size_t first = 0, last = 0;
  bool operator==(const Block&) const = default;
};

// Runs of parts whose entropy is at least the threshold are blocks, cut into nearly equal ones
// where they have more than `most_parts`; every other part is a block of its own. The entropy of
// what a layer gives on says how much its rounding errors and its neighbours' depend on each other
// (Q-VLM, Wang et al. 2024). Throws ErrorKind::kData for NaN, kUsage for blocks of no parts.
std::vector<Block> entropy_blocks(std::span<const double> entropies, double threshold,
                                  size_t most_parts);

// The loss of a block with a candidate for each of its parts. Not asked for blocks of one part:
// these keep their candidates' losses.
using BlockLoss = std::function<double(const Block& block, std::span<const size_t> chosen)>;

class Blocks {
 public:
  // The blocks follow each other and cover all parts. A block with more than `most_candidates`
  // combinations keeps, as it grows part by part, those of the least sum of losses at many costs,
  // and the cheapest. Throws ErrorKind::kUsage for blocks that do not cover the parts, and what
  // check() throws. Progress is in blocks.
  Blocks(const Problem& problem, std::span<const Block> blocks, const BlockLoss& loss,
         size_t most_candidates = 4096, const Progress& progress = {});

  const Problem& problem() const { return problem_; }
  // A candidate for every part of the original problem, from one for every block.
  std::vector<size_t> chosen(std::span<const size_t> of_blocks) const;
  uint64_t evaluations() const { return evaluations_; }  // of the loss

 private:
  Problem problem_;
  std::vector<std::vector<std::vector<size_t>>> combinations_;  // of each block
  uint64_t evaluations_ = 0;
};

}  // namespace pith::budget
