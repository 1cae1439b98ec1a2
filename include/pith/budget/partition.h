// Steps in a row, cut into groups: layers that share a codebook, tokens that share a scale, steps
// of a sampler of which the first of each group is computed and the others use what it gave.
//
//   const Partition p = best_partition(50, 10, [&](size_t first, size_t last) { return …; });
//
// The sum of the groups' losses is the least there is: dynamic programming over where the last
// group begins, as for caches of diffusion models in CacheQuant (Liu et al. 2025).
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

namespace pith::budget {

// What the steps first … last - 1 lose as a group; finite and not negative. Asked once for each.
using GroupLoss = std::function<double(size_t first, size_t last)>;

struct Partition {
  std::vector<size_t> begins;  // the first step of each group, the first of them 0
  double loss = 0;
};

// Exactly so many groups of at least one step each; steps^2 / 2 losses are asked, of groups of at
// most `longest` steps. Of partitions that are equally good the one whose last groups are longest.
// Throws ErrorKind::kUsage for no groups, more groups than steps, groups too short for all steps,
// and losses that cannot be.
Partition best_partition(size_t steps, size_t groups, const GroupLoss& loss,
                         size_t longest = std::numeric_limits<size_t>::max());

// Groups of the same number of steps, as far as that can be: the first ones are longer by one.
Partition even_partition(size_t steps, size_t groups, const GroupLoss& loss);

}  // namespace pith::budget
