#include "pith/budget/partition.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

void check(size_t steps, size_t groups, size_t longest) {
  if (groups == 0 || groups > steps) {
    fail(ErrorKind::kUsage, "{} steps cannot be cut into {} groups", steps, groups);
  }
  if (longest < (steps + groups - 1) / groups) {
    fail(ErrorKind::kUsage, "{} groups of at most {} steps have no room for {}", groups, longest,
         steps);
  }
}

double checked(double loss, size_t first, size_t last) {
  if (std::isfinite(loss) && loss >= 0) return loss;
  fail(ErrorKind::kUsage, "the loss of steps {} to {} is {}", first, last - 1, loss);
}

}  // namespace

Partition best_partition(size_t steps, size_t groups, const GroupLoss& loss, size_t longest) {
  check(steps, groups, longest);
  // Of the steps before `end` in g groups the least loss, and where the last of these begins.
  struct Cell {
    double loss = kNever;
    size_t begin = 0;
  };
  const size_t width = groups + 1;
  std::vector<Cell> table((steps + 1) * width);
  table[0].loss = 0;
  for (size_t end = 1; end <= steps; ++end) {
    const size_t first = end > longest ? end - longest : 0;
    for (size_t begin = first; begin < end; ++begin) {
      const double here = checked(loss(begin, end), begin, end);
      for (size_t g = 1; g <= std::min(groups, end); ++g) {
        const Cell& before = table[begin * width + g - 1];
        Cell& cell = table[end * width + g];
        if (before.loss + here < cell.loss) cell = {before.loss + here, begin};
      }
    }
  }
  Partition out{.begins = std::vector<size_t>(groups), .loss = table[steps * width + groups].loss};
  for (size_t g = groups, end = steps; g > 0; --g) {
    end = table[end * width + g].begin;
    out.begins[g - 1] = end;
  }
  return out;
}

Partition even_partition(size_t steps, size_t groups, const GroupLoss& loss) {
  check(steps, groups, steps);
  Partition out;
  const size_t size = steps / groups, longer = steps % groups;
  for (size_t g = 0, begin = 0; g < groups; ++g) {
    const size_t end = begin + size + (g < longer ? 1 : 0);
    out.begins.push_back(begin);
    out.loss += checked(loss(begin, end), begin, end);
    begin = end;
  }
  return out;
}

}  // namespace pith::budget
