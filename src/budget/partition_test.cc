#include "pith/budget/partition.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::budget {
namespace {

// Losses that have no order.
GroupLoss random_loss(uint64_t seed) {
  return [seed](size_t first, size_t last) {
    return random_unit(seed, first * 1000 + last) * static_cast<double>(last - first);
  };
}

// Of all ways to cut `steps` into `groups`, none of them longer than `longest`.
double by_trying(size_t steps, size_t groups, const GroupLoss& loss, size_t longest) {
  double best = INFINITY;
  for (uint64_t cuts = 0; cuts < uint64_t{1} << (steps - 1); ++cuts) {
    double sum = 0;
    size_t begin = 0, count = 0;
    bool fits = true;
    for (size_t end = 1; end <= steps; ++end) {
      if (end < steps && (cuts >> (end - 1) & 1) == 0) continue;
      sum += loss(begin, end);
      fits = fits && end - begin <= longest;
      ++count;
      begin = end;
    }
    if (fits && count == groups) best = std::min(best, sum);
  }
  return best;
}

TEST(Partition, IsTheBestOfAll) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const GroupLoss loss = random_loss(seed);
    for (size_t groups = 1; groups <= 9; ++groups) {
      for (const size_t longest : {size_t{9}, (9 + groups - 1) / groups, size_t{5}}) {
        if (longest * groups < 9) continue;
        const Partition p = best_partition(9, groups, loss, longest);
        EXPECT_NEAR(p.loss, by_trying(9, groups, loss, longest), 1e-12);
        ASSERT_EQ(p.begins.size(), groups);
        EXPECT_EQ(p.begins[0], 0u);
        double sum = 0;
        for (size_t g = 0; g < groups; ++g) {
          const size_t end = g + 1 < groups ? p.begins[g + 1] : 9;
          ASSERT_TRUE(end > p.begins[g] && end - p.begins[g] <= longest);
          sum += loss(p.begins[g], end);
        }
        EXPECT_NEAR(p.loss, sum, 1e-12);
      }
    }
  }
}

TEST(Partition, EvenGroupsLoseNoLess) {
  const auto steps_apart = [](size_t first, size_t last) {
    double sum = 0;
    for (size_t t = first; t < last; ++t) sum += std::exp(0.1 * static_cast<double>(t)) - 1;
    return sum -
           static_cast<double>(last - first) * (std::exp(0.1 * static_cast<double>(first)) - 1);
  };
  const Partition even = even_partition(23, 5, steps_apart);
  EXPECT_EQ(even.begins, (std::vector<size_t>{0, 5, 10, 15, 19}));
  const Partition best = best_partition(23, 5, steps_apart);
  EXPECT_LT(best.loss, even.loss);
  // Where more happens groups are shorter.
  EXPECT_GT(best.begins[1], 23 - best.begins[4]);
}

TEST(Partition, RefusesWhatCannotBe) {
  const GroupLoss one = [](size_t, size_t) { return 1.0; };
  EXPECT_THROW(best_partition(5, 0, one), Error);
  EXPECT_THROW(best_partition(5, 6, one), Error);
  EXPECT_THROW(best_partition(0, 0, one), Error);
  EXPECT_THROW(best_partition(5, 2, one, 2), Error);
  EXPECT_THROW(even_partition(5, 6, one), Error);
  for (const double bad : {-1.0, std::nan(""), static_cast<double>(INFINITY)}) {
    EXPECT_THROW(best_partition(3, 2, [&](size_t, size_t) { return bad; }), Error);
  }
}

}  // namespace
}  // namespace pith::budget
