#include "pith/budget/groups.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

using Chosen = std::vector<size_t>;

Problem four_parts() {
  return {.resources = {"bytes"},
          .parts = {{.name = "0.q", .candidates = {{"a", 9, {1}}, {"b", 4, {2}}, {"c", 1, {4}}}},
                    {.name = "0.k", .candidates = {{"a", 3, {1}}, {"c", 2, {5}}}},
                    {.name = "1.q", .candidates = {{"c", 2, {8}}, {"b", 5, {3}}}},
                    {.name = "1.k", .candidates = {{"a", 1, {1}}, {"c", 1, {3}}}}}};
}

TEST(Groups, SumWhatTheirPartsHaveInCommon) {
  const Groups groups(four_parts(), std::vector<std::string>{"q", "k", "q", "k"});
  const Problem& p = groups.problem();
  ASSERT_EQ(p.parts.size(), 2u);
  EXPECT_EQ(p.parts[0].name, "q");
  ASSERT_EQ(p.parts[0].candidates.size(), 2u);  // nothing of "a" in 1.q
  EXPECT_EQ(p.parts[0].candidates[0].name, "b");
  EXPECT_EQ(p.parts[0].candidates[0].loss, 9);
  EXPECT_EQ(p.parts[0].candidates[0].costs, std::vector<double>{5});
  EXPECT_EQ(p.parts[1].candidates[1].costs, std::vector<double>{8});
  EXPECT_EQ(groups.members(1), (Chosen{1, 3}));
  EXPECT_EQ(groups.candidate(2, 1), 0u);
  EXPECT_EQ(groups.chosen(Chosen{1, 0}), (Chosen{2, 0, 0, 0}));
}

TEST(Groups, HaveTheTotalsOfTheirParts) {
  const Problem all = four_parts();
  const Groups groups(all, std::vector<std::string>{"q", "k", "q", "k"});
  for (const size_t q : {0, 1}) {
    for (const size_t k : {0, 1}) {
      const Totals one = totals(groups.problem(), Chosen{q, k});
      const Totals each = totals(all, groups.chosen(Chosen{q, k}));
      EXPECT_EQ(one.loss, each.loss);
      EXPECT_EQ(one.costs, each.costs);
    }
  }
}

TEST(Groups, RefuseWhatGoesNotTogether) {
  EXPECT_THROW(Groups(four_parts(), std::vector<std::string>{"q"}), Error);
  Problem apart = four_parts();
  apart.parts[3].candidates = {{"d", 0, {0}}};
  EXPECT_THROW(Groups(apart, std::vector<std::string>{"q", "k", "q", "k"}), Error);
  Problem fixed = four_parts();
  fixed.parts[1].fixed = 0;
  EXPECT_THROW(Groups(fixed, std::vector<std::string>{"q", "k", "q", "k"}), Error);
  const Groups groups(four_parts(), std::vector<std::string>{"q", "k", "q", "k"});
  EXPECT_THROW(groups.chosen(Chosen{0}), Error);
  EXPECT_THROW(groups.chosen(Chosen{0, 2}), Error);
}

}  // namespace
}  // namespace pith::budget
