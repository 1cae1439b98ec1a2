#include "pith/budget/rate_distortion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::budget {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<Source> random_sources(uint64_t seed, size_t n) {
  std::vector<Source> sources;
  for (uint64_t i = 0; i < n; ++i) {
    const auto unit = [&](uint64_t k) { return random_unit(seed, 8 * i + k); };
    Source s{"s", std::exp(10 * unit(0)), std::ceil(1000 * unit(1)) + 1};
    if (unit(2) < 0.3) s.least_bits = 3 * unit(3);
    if (unit(4) < 0.3) s.most_bits = s.least_bits + 4 * unit(5);
    sources.push_back(s);
  }
  return sources;
}

TEST(RateDistortion, ClosedForm) {
  // Without floors and caps in the way: the logarithm's mean, and differences of half of it.
  const std::vector<Source> sources = {{"a", 64}, {"b", 16}, {"c", 1}};
  const Rates rates = rates_within_bits(sources, 9);
  ASSERT_EQ(rates.bits.size(), 3u);
  EXPECT_NEAR(rates.bits[0], 3 + 4.0 / 3, 1e-12);
  EXPECT_NEAR(rates.bits[1], 3 + 1.0 / 3, 1e-12);
  EXPECT_NEAR(rates.bits[2], 3 - 5.0 / 3, 1e-12);
  EXPECT_NEAR(rates.loss, 3 * rates.water, 1e-12);
  // Under water: no bits.
  const Rates few = rates_within_bits(sources, 1.5);
  EXPECT_EQ(few.bits[2], 0);
  EXPECT_NEAR(few.bits[0] - few.bits[1], 1, 1e-12);
}

// Between sources that neither floor nor cap holds, nothing is gained by giving bits to another.
TEST(RateDistortion, NoExchangeGains) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::vector<Source> sources = random_sources(seed, 12);
    double floors = 0, elements = 0;
    for (const Source& s : sources) {
      floors += s.elements * s.least_bits;
      elements += s.elements;
    }
    const double limit = floors + elements * 3 * random_unit(seed, 999);
    const Rates rates = rates_within_bits(sources, limit);
    EXPECT_LE(rates.total_bits, limit);
    double steepest_up = 0, flattest_down = kInfinity;
    bool capped = true;
    for (size_t i = 0; i < sources.size(); ++i) {
      const Source& s = sources[i];
      EXPECT_GE(rates.bits[i], s.least_bits);
      EXPECT_LE(rates.bits[i], s.most_bits);
      const double slope = s.loss * std::exp2(-2 * rates.bits[i]) / s.elements;
      if (rates.bits[i] < s.most_bits) steepest_up = std::max(steepest_up, slope);
      if (rates.bits[i] > s.least_bits) flattest_down = std::min(flattest_down, slope);
      capped = capped && rates.bits[i] == s.most_bits;
    }
    EXPECT_LE(steepest_up, flattest_down * (1 + 1e-9));
    if (!capped) {
      EXPECT_NEAR(rates.total_bits, limit, 1e-9 * limit);
    }
    // The other way round, the loss asks for the same bits.
    const Rates back = rates_within_loss(sources, rates.loss);
    EXPECT_LE(back.loss, rates.loss);
    EXPECT_NEAR(back.total_bits, rates.total_bits, 1e-9 * limit + 1e-9);
  }
}

TEST(RateDistortion, Edges) {
  EXPECT_EQ(rates_within_bits({}, 0).total_bits, 0);
  const std::vector<Source> nothing = {{"a", 0, 5, 2}};
  EXPECT_EQ(rates_within_bits(nothing, 100).bits[0], 2);
  const std::vector<Source> capped = {{"a", 1, 1, 0, 4}, {"b", 1, 1, 0, 4}};
  EXPECT_EQ(rates_within_bits(capped, 1e6).bits, (std::vector<double>{4, 4}));
  EXPECT_EQ(rates_within_bits(capped, kInfinity).total_bits, 8);
  EXPECT_EQ(rates_within_loss(capped, 2).total_bits, 0);
  EXPECT_NEAR(rates_within_loss(capped, 2.0 / 256).total_bits, 8, 1e-12);
  const std::vector<Source> huge = {{"a", 1e300, 1}, {"b", 1e-300, 1e9}};
  const Rates rates = rates_within_bits(huge, 1000);
  EXPECT_NEAR(rates.bits[0], 1000, 1e-6);
}

TEST(RateDistortion, Refused) {
  const auto message = [](const Source& source, double bits) -> std::string {
    try {
      rates_within_bits(std::vector<Source>{source}, bits);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({"q", std::nan(""), 1}, 1), "source 'q': the loss is nan");
  EXPECT_EQ(message({"q", -1, 1}, 1), "source 'q': the loss is -1");
  EXPECT_EQ(message({"q", 1, 0}, 1), "source 'q': the number of elements is 0");
  EXPECT_EQ(message({"q", 1, 1, 3, 2}, 1), "source 'q': the cap, below the floor, is 2");
  EXPECT_EQ(message({"q", 1, 10, 2}, 19),
            "bits: at most 19 cannot be met, the smallest possible is 20");
  EXPECT_EQ(message({"q", 1, 10, 2}, std::nan("")),
            "bits: at most nan cannot be met, the smallest possible is 20");
  EXPECT_THROW(rates_within_loss(std::vector<Source>{{"q", 1, 1, 0, 2}}, 1e-3), Error);
  EXPECT_THROW(rates_within_loss(std::vector<Source>{{"q", 1, 1}}, 0), Error);
}

}  // namespace
}  // namespace pith::budget
