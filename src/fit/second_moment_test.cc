#include "pith/fit/second_moment.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "testing.h"

namespace pith::fit {
namespace {

using form::Matrix;

std::vector<double> direct(const Matrix& x) {
  const uint64_t n = x.shape.cols;
  std::vector<double> h(n * n);
  for (uint64_t t = 0; t < x.shape.rows; ++t) {
    const auto row = x.view().row(t);
    for (uint64_t i = 0; i < n; ++i) {
      for (uint64_t j = 0; j < n; ++j) h[i * n + j] += double{row[i]} * row[j];
    }
  }
  return h;
}

void expect_near(std::span<const double> got, const std::vector<double>& wanted, uint64_t n) {
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j < n; ++j) {
      const double size = std::sqrt(wanted[i * n + i] * wanted[j * n + j]);
      ASSERT_NEAR(got[i * n + j], wanted[i * n + j], 1e-5 * size) << i << ", " << j;
      ASSERT_EQ(got[i * n + j], got[j * n + i]);
    }
  }
}

TEST(SecondMoment, IsTheSumOfOuterProducts) {
  for (const uint64_t channels : {1, 2, 63, 64, 65, 130}) {
    for (const uint64_t tokens : {1, 7, 128, 129, 300}) {
      const Matrix x = correlated(tokens, channels, 3);
      SecondMoment moment(channels);
      moment.add(x.view(), 1);
      expect_near(moment.matrix(), direct(x), channels);
      EXPECT_EQ(moment.count(), tokens);
    }
  }
}

TEST(SecondMoment, HoldsInputsWhoseSquaresNoFloatHolds) {
  for (const float size : {1e-30f, 1e30f}) {
    const Matrix x = noise({200, 10}, 4, size);
    SecondMoment moment(10);
    moment.add(x.view(), 1);
    expect_near(moment.matrix(), direct(x), 10);
  }
}

TEST(SecondMoment, IsTheSameOnAllThreadsAndInstructionSets) {
  const Matrix x = correlated(500, 150, 5);
  SecondMoment one(150);
  one.add(x.view(), 1);
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    SecondMoment other(150);
    other.add(x.view(), 2);
    EXPECT_TRUE(std::ranges::equal(one.matrix(), other.matrix())) << hwy::TargetName(left & -left);
    EXPECT_EQ(one.mean_size(), other.mean_size());
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(SecondMoment, BatchesAddUpAndMerge) {
  const Matrix a = correlated(100, 20, 6), b = correlated(257, 20, 7);
  SecondMoment both(20), first(20), second(20);
  both.add(a.view(), 1);
  both.add(b.view(), 1);
  both.add({nullptr, {0, 20}}, 1);
  first.add(a.view(), 1);
  second.add(b.view(), 1);
  first.merge(second);
  EXPECT_TRUE(std::ranges::equal(first.matrix(), both.matrix()));
  EXPECT_EQ(first.count(), 357u);
  EXPECT_EQ(first.mean_size(), both.mean_size());
}

TEST(SecondMoment, ScalesOfChannels) {
  const Matrix x = correlated(100, 9, 8);
  SecondMoment moment(9);
  EXPECT_EQ(moment.mean_size(), std::vector<double>(9));
  EXPECT_EQ(moment.root_mean_square(), std::vector<double>(9));
  moment.add(x.view(), 1);
  for (uint64_t c = 0; c < 9; ++c) {
    double size = 0, square = 0;
    for (uint64_t t = 0; t < 100; ++t) {
      const double v = x.view().row(t)[c];
      size += std::fabs(v) / 100;
      square += v * v / 100;
    }
    EXPECT_NEAR(moment.mean_size()[c], size, 1e-9 * size);
    EXPECT_NEAR(moment.root_mean_square()[c], std::sqrt(square), 1e-5 * std::sqrt(square));
  }
}

TEST(SecondMoment, RefusesWhatIsNoNumberAndAddsNothing) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    Matrix x = noise({300, 12}, 9);
    x.row(201)[5] = bad;
    SecondMoment moment(12);
    EXPECT_EQ(refusal([&] { moment.add(x.view(), 2); }),
              std::isnan(bad) ? "inputs: token 201, channel 5 is NaN"
                              : "inputs: token 201, channel 5 is infinite");
    EXPECT_EQ(moment.count(), 0u);
    EXPECT_TRUE(std::ranges::all_of(moment.matrix(), [](double v) { return v == 0; }));
  }
}

TEST(SecondMoment, RefusesOtherShapes) {
  SecondMoment moment(12);
  const Matrix x = noise({3, 11}, 1);
  EXPECT_EQ(refusal([&] { moment.add(x.view()); }), "inputs of 11 channels, where 12 are expected");
  EXPECT_EQ(refusal([&] { moment.merge(SecondMoment(13)); }),
            "second moments of 13 channels do not go with those of 12");
  EXPECT_EQ(refusal([] { SecondMoment(0); }), "second moments of no channels");
  EXPECT_EQ(refusal([] { SecondMoment(uint64_t{1} << 40); }),
            "second moments of 1099511627776 channels; at most 65536 are kept");
}

}  // namespace
}  // namespace pith::fit
