#include "pith/fit/unit_removal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::fit {
namespace {

using form::Matrix;

Matrix random_matrix(form::Shape shape, uint64_t seed) {
  Matrix m(shape);
  for (uint64_t i = 0; i < shape.size(); ++i) {
    m.values[i] = static_cast<float>(random_unit(seed, i) + random_unit(seed + 1, i) - 1);
  }
  return m;
}

// Of values that are mixtures of `rank` sources and some noise.
Metric mixed_values(uint64_t columns, uint64_t rank, float noise, uint64_t seed) {
  const Matrix sources = random_matrix({400, rank}, seed);
  const Matrix mixing = random_matrix({columns, rank}, seed + 10);
  Matrix x = random_matrix({400, columns}, seed + 20);
  for (uint64_t t = 0; t < 400; ++t) {
    for (uint64_t c = 0; c < columns; ++c) {
      x.row(t)[c] *= noise;
      for (uint64_t k = 0; k < rank; ++k)
        x.row(t)[c] += sources.view().row(t)[k] * mixing.view().row(c)[k];
    }
  }
  SecondMoment moment(columns);
  moment.add(x.view(), 1);
  return Metric::of(std::move(moment));
}

double all_of_it(const UnitMoments& moments, const Matrix& w) {
  return removal_error(moments, w.view(), {}, Matrix({w.shape.rows, 0}).view());
}

TEST(UnitRemoval, AsManyPivotsAsThereAreSourcesExplainAll) {
  const Matrix w = random_matrix({12, 40}, 3);
  const UnitMoments moments(mixed_values(40, 5, 0, 1), 1, 1e-9);
  const double all = all_of_it(moments, w);
  const auto five = pivoted_units(moments, 5), four = pivoted_units(moments, 4);
  EXPECT_EQ(five.size(), 5u);
  EXPECT_TRUE(std::ranges::is_sorted(five));
  const auto error = [&](std::span<const uint32_t> kept) {
    return removal_error(moments, w.view(), kept, folded(moments, w.view(), kept).view());
  };
  EXPECT_LT(error(five), 1e-6 * all);
  EXPECT_GT(error(four), 1e-3 * all);
}

TEST(UnitRemoval, FoldedWeightsAreTheLeastSquares) {
  const Matrix w = random_matrix({6, 24}, 4);
  const UnitMoments moments(mixed_values(24, 8, 0.3F, 2), 1, 1e-3);
  const std::vector<uint32_t> kept = {0, 3, 4, 9, 15, 20, 23};
  const Matrix best = folded(moments, w.view(), kept);
  const double least = removal_error(moments, w.view(), kept, best.view());
  EXPECT_LT(least,
            removal_error(moments, w.view(), kept, selected(moments, w.view(), kept).view()));
  for (uint64_t i = 0; i < best.values.size(); ++i) {
    for (const float step : {-0.02F, 0.02F}) {
      Matrix other = best;
      other.values[i] += step;
      EXPECT_GT(removal_error(moments, w.view(), kept, other.view()), least) << i;
    }
  }
}

// Removing one after the other with updates between is the same as all at once.
TEST(UnitRemoval, WhatAPathSaysItsWeightsLose) {
  for (const auto& [columns, group] : {std::pair<uint64_t, uint64_t>{24, 1}, {24, 4}, {150, 1}}) {
    const Matrix w = random_matrix({5, columns}, 5);
    const UnitMoments moments(mixed_values(columns, 6, 0.5F, 3), group, 1e-2);
    const RemovalPath path = removal_path(moments, w.view());
    const uint64_t units = columns / group;
    ASSERT_EQ(path.order.size(), units);
    ASSERT_EQ(path.errors.size(), units + 1);
    EXPECT_EQ(std::set<uint32_t>(path.order.begin(), path.order.end()).size(), units);
    EXPECT_TRUE(std::ranges::is_sorted(path.errors));
    const double all = all_of_it(moments, w);
    EXPECT_NEAR(path.errors.back(), all, 1e-6 * all);
    for (uint64_t removed = 1; removed < units; ++removed) {
      std::vector<uint32_t> kept(path.order.begin() + static_cast<std::ptrdiff_t>(removed),
                                 path.order.end());
      std::ranges::sort(kept);
      const Matrix smaller = folded(moments, w.view(), kept);
      EXPECT_NEAR(removal_error(moments, w.view(), kept, smaller.view()), path.errors[removed],
                  1e-5 * all)
          << group << " " << removed;
    }
  }
}

TEST(UnitRemoval, AtEachStepTheCheapestUnitGoes) {
  const Matrix w = random_matrix({5, 12}, 6);
  const UnitMoments moments(mixed_values(12, 4, 0.5F, 4), 1, 1e-2);
  const RemovalPath path = removal_path(moments, w.view());
  std::set<uint32_t> left;
  for (uint32_t u = 0; u < 12; ++u) left.insert(u);
  for (size_t step = 0; step + 1 < path.order.size(); ++step) {
    for (const uint32_t other : left) {
      std::vector<uint32_t> kept;
      std::ranges::copy_if(left, std::back_inserter(kept), [&](uint32_t u) { return u != other; });
      const Matrix smaller = folded(moments, w.view(), kept);
      EXPECT_GE(removal_error(moments, w.view(), kept, smaller.view()),
                path.errors[step + 1] - 1e-6 * path.errors.back());
    }
    left.erase(path.order[step]);
  }
}

TEST(UnitRemoval, LeverageIsWhatNoOtherUnitHas) {
  // Columns 0 and 1 are the same, 2 is alone, 3 is next to nothing.
  Matrix x = random_matrix({500, 4}, 7);
  for (uint64_t t = 0; t < 500; ++t) {
    x.row(t)[1] = x.row(t)[0];
    x.row(t)[3] *= 1e-4F;
  }
  SecondMoment moment(4);
  moment.add(x.view(), 1);
  const UnitMoments moments(Metric::of(std::move(moment)), 1, 1e-3);
  const std::vector<double> scores = leverage_scores(moments);
  EXPECT_NEAR(scores[0], 0.5, 0.01);
  EXPECT_NEAR(scores[1], 0.5, 0.01);
  EXPECT_NEAR(scores[2], 1, 0.01);
  EXPECT_NEAR(scores[3], 0, 0.01);
  EXPECT_EQ(highest_units(scores, 2), (std::vector<uint32_t>{scores[0] >= scores[1] ? 0U : 1U, 2}));
}

TEST(UnitRemoval, ResultsAreThoseOfOneThread) {
  const Matrix w = random_matrix({7, 320}, 8);
  const Metric metric = mixed_values(320, 30, 0.4F, 5);
  const UnitMoments one(metric, 1, 1e-3, 1), four(metric, 1, 1e-3, 4);
  EXPECT_EQ(removal_path(one, w.view()).order, removal_path(four, w.view()).order);
  const auto kept = pivoted_units(one, 100);
  EXPECT_EQ(kept, pivoted_units(four, 100));
  EXPECT_EQ(folded(one, w.view(), kept).values, folded(four, w.view(), kept).values);
}

TEST(UnitRemoval, RefusesWhatCannotBe) {
  const Metric metric = mixed_values(12, 3, 0.5F, 6);
  EXPECT_THROW(UnitMoments(Metric(), 1, 0.1), Error);
  EXPECT_THROW(UnitMoments(metric, 5, 0.1), Error);
  EXPECT_THROW(UnitMoments(metric, 1, 0), Error);
  const UnitMoments moments(metric, 1, 0.1);
  EXPECT_THROW(removal_path(moments, random_matrix({3, 11}, 1).view()), Error);
  const std::vector<uint32_t> far = {12};
  EXPECT_THROW(folded(moments, random_matrix({3, 12}, 1).view(), far), Error);
}

}  // namespace
}  // namespace pith::fit
