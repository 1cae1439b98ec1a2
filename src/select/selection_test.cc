#include "pith/select/selection.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/select/attention_record.h"

namespace pith::select {
namespace {

using Share = Selection::Share;

form::Matrix column(std::vector<float> values) {
  form::Matrix m({values.size(), 1});
  m.values = std::move(values);
  return m;
}

TEST(Selection, GivesTheRowsThatStayAndTheirMerges) {
  const form::Matrix rows = column({1, 2, 4, 8});
  EXPECT_EQ(kept_rows({.count = 4, .kept = {1, 3}}, rows.view()).values,
            (std::vector<float>{2, 8}));
  const Selection merged{
      .count = 4, .kept = {1, 3}, .shares = {{0, 0, 0.25f}, {1, 0, 0.75f}, {3, 1, 1}}};
  EXPECT_EQ(kept_rows(merged, rows.view()).values, (std::vector<float>{1.75f, 8}));
  EXPECT_EQ(kept_rows(everything(4), rows.view()).values, rows.values);
  EXPECT_THROW(kept_rows(everything(3), rows.view()), Error);
}

TEST(Selection, OneAfterTheOtherIsOneAmongAll) {
  const form::Matrix rows = column({1, 2, 4, 8, 16});
  const Selection first{
      .count = 5, .kept = {0, 2, 4}, .shares = {{0, 0, 0.5f}, {1, 0, 0.5f}, {2, 1, 1}, {4, 2, 1}}};
  const Selection second{
      .count = 3, .kept = {0, 2}, .shares = {{0, 0, 0.5f}, {1, 0, 0.5f}, {2, 1, 1}}};
  const Selection both = in_sequence(first, second);
  EXPECT_EQ(both.kept, (std::vector<uint32_t>{0, 4}));
  const form::Matrix between = kept_rows(first, rows.view());
  EXPECT_EQ(kept_rows(both, rows.view()).values, kept_rows(second, between.view()).values);
  EXPECT_EQ(in_sequence(everything(5), first), first);
  EXPECT_THROW(in_sequence(first, everything(4)), Error);
}

TEST(AttentionRecord, ForgetsNothingOfWhatStays) {
  AttentionRecord r(2);
  r.add(std::vector<float>{1});
  r.add(std::vector<float>{0.5f, 0.5f});
  r.add(std::vector<float>{0.25f, 0.25f, 0.5f});
  EXPECT_EQ(r.total(), (std::vector<float>{1.75f, 0.75f, 0.5f}));
  EXPECT_EQ(r.mean(), (std::vector<float>{1.75f / 3, 0.375f, 0.5f}));
  EXPECT_EQ(r.latest(1), (std::vector<float>{0.25f, 0.25f, 0.5f}));
  EXPECT_EQ(r.latest(9), (std::vector<float>{0.75f, 0.75f, 0.5f}));
  r.keep({.count = 3, .kept = {0, 2}});
  EXPECT_EQ(r.total(), (std::vector<float>{1.75f, 0.5f}));
  r.add(std::vector<float>{0, 1, 2});
  EXPECT_EQ(r.mean(), (std::vector<float>{1.75f / 4, 0.75f, 2}));
  EXPECT_EQ(r.latest(2), (std::vector<float>{0.25f, 1.5f, 2}));
  EXPECT_THROW(r.add(std::vector<float>{1}), Error);
  EXPECT_THROW(r.add(std::vector<float>{1, -1, 0}), Error);
  EXPECT_THROW(r.add(std::vector<float>{1, 0, NAN}), Error);
}

TEST(AttentionRecord, BeginsAnewWithTheItemsThatThereAre) {
  AttentionRecord r(2);
  r.add(std::vector<float>{0.5f, 0.5f});
  r.restart();
  EXPECT_EQ(r.items(), 2U);
  EXPECT_EQ(r.queries(), 0U);
  for (const auto& nothing : {r.total(), r.mean(), r.latest(2)})
    EXPECT_EQ(nothing, (std::vector<float>{0, 0}));
  r.add(std::vector<float>{0.25f, 0.5f, 0.25f});
  EXPECT_EQ(r.latest(2), (std::vector<float>{0.25f, 0.5f, 0.25f}));
  EXPECT_EQ(r.mean(), r.total());
  r.shorten(2);
  r.keep({.count = 2, .kept = {1}});
  EXPECT_EQ(r.total(), (std::vector<float>{0.5f}));
  // There may be items that nobody has seen.
  r.lengthen(3);
  r.lengthen(1);
  EXPECT_EQ(r.total(), (std::vector<float>{0.5f, 0, 0}));
  EXPECT_EQ(r.latest(1), (std::vector<float>{0.5f, 0, 0}));
  r.keep({.count = 3, .kept = {0, 2}});
  EXPECT_EQ(r.mean(), (std::vector<float>{0.5f, 0}));
}

TEST(AttentionRecord, SeveralTogetherAreTheirSums) {
  AttentionRecord a(2), b(2);
  for (const auto& [x, y] : {std::pair{1.0F, 2.0F}, {0.5F, 0.25F}, {4.0F, 8.0F}}) {
    a.add(std::vector<float>{x, y});
    b.add(std::vector<float>{2 * y, 2 * x});
  }
  const std::vector<AttentionRecord> both = {a, b};
  const AttentionRecord sum = AttentionRecord::together(both);
  EXPECT_EQ(sum.total(), (std::vector<float>{5.5f + 20.5f, 10.25f + 11}));
  EXPECT_EQ(sum.latest(1), (std::vector<float>{4 + 16, 8 + 8}));
  EXPECT_EQ(sum.queries(), 3U);
  b.add(std::vector<float>{1, 1});
  EXPECT_THROW(AttentionRecord::together(std::vector{a, b}), Error);
  EXPECT_THROW(AttentionRecord::together({}), Error);
}

TEST(AttentionRecord, VarianceIsOfWhatMoves) {
  AttentionRecord same(8), moves(8), none;
  for (uint64_t q = 0; q < 8; ++q) {
    std::vector<float> weights(20, 0.01F), other = weights;
    weights[3] = 1;
    other[q] = 1;
    same.add(weights);
    moves.add(other);
  }
  EXPECT_NEAR(same.variance(), 0, 1e-6);
  EXPECT_GT(moves.variance(), 0.8);
  EXPECT_LT(moves.variance(), 1);
  EXPECT_EQ(none.variance(), 0);
}

}  // namespace
}  // namespace pith::select
