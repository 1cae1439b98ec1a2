#include "pith/audit/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "pith/base/random.h"

namespace pith::audit {
namespace {

TEST(Statistics, MeanAndItsError) {
  const std::vector<double> values = {1, 2, 3, 4};
  EXPECT_EQ(mean(values), 2.5);
  EXPECT_NEAR(*standard_error(values), std::sqrt(5.0 / 3 / 4), 1e-15);
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_FALSE(standard_error(std::vector<double>{1}));
}

TEST(Statistics, Quantiles) {
  const std::vector<double> values = {0, 10, 20, 30};
  EXPECT_EQ(quantile(values, 0), 0);
  EXPECT_EQ(quantile(values, 0.5), 15);
  EXPECT_EQ(quantile(values, 1), 30);
  EXPECT_EQ(quantile(std::vector<double>{7}, 0.99), 7);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

// Of 200 samples of known mean, an interval of 95% misses it in about 10.
TEST(Statistics, BootstrapIntervalsCoverTheMean) {
  int missed = 0;
  constexpr int kGroups = 30;
  for (uint64_t trial = 0; trial < 200; ++trial) {
    std::vector<double> sums;
    std::vector<uint64_t> counts;
    for (uint64_t g = 0; g < kGroups; ++g) {
      double sum = 0;
      for (uint64_t i = 0; i < 8; ++i) sum += random_unit(trial + 1000, g * 8 + i);
      sums.push_back(sum);
      counts.push_back(8);
    }
    const Interval interval = *bootstrap_interval(sums, counts, trial);
    EXPECT_LT(interval.low, interval.high);
    missed += interval.low > 0.5 || interval.high < 0.5;
  }
  EXPECT_GE(missed, 2);
  EXPECT_LE(missed, 26);
}

// Tokens of a window that go together make the interval wider, not as narrow as their number.
TEST(Statistics, BootstrapResamplesWholeGroups) {
  const std::vector<double> sums = {0, 100};
  const std::vector<uint64_t> counts = {100, 100};
  const Interval interval = *bootstrap_interval(sums, counts);
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 1);
  EXPECT_FALSE(bootstrap_interval(std::vector<double>{1}, std::vector<uint64_t>{1}));
}

}  // namespace
}  // namespace pith::audit
