#include "pith/audit/size_curve.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

namespace pith::audit {
namespace {

SizedFile file(std::string method, std::string name, double bits, double loss) {
  return {std::move(method), std::move(name), static_cast<uint64_t>(bits * 1000), bits, loss};
}

const std::vector<SizedFile> kFiles = {
    file("peer", "q4", 4.5, 0.004),  file("ours", "4.1", 4.1, 0.003),
    file("peer", "iq4", 4.2, 0.003), file("peer", "q2", 2.6, 0.04),
    file("peer", "q8", 8.5, 0.0001), file("peer", "odd", 3.0, std::nan("")),
};

std::string best(double bits, std::string_view method = "peer") {
  const auto i = best_within(kFiles, method, bits);
  return i ? kFiles[*i].name : "none";
}

TEST(SizeCurve, TheBestOfAtMostASize) {
  EXPECT_EQ(best(9), "q8");
  EXPECT_EQ(best(8.5), "q8");
  EXPECT_EQ(best(8.49), "iq4");  // smaller than q4, and better
  EXPECT_EQ(best(4.1), "q2");    // a loss that is no number is never better
  EXPECT_EQ(best(2.0), "q2");    // none is as small
  EXPECT_EQ(best(4.2, "ours"), "4.1");
  EXPECT_EQ(best(4.2, "nobody"), "none");
}

TEST(SizeCurve, OfEquallyGoodFilesTheSmallest) {
  const std::vector<SizedFile> files = {file("a", "large", 3, 1), file("a", "small", 2, 1)};
  EXPECT_EQ(best_within(files, "a", 4), 1u);
}

TEST(SizeCurve, FrontierLeavesOutWhatIsBeatenBothWays) {
  std::vector<std::string> names;
  for (const size_t i : frontier(kFiles, "peer")) names.push_back(kFiles[i].name);
  EXPECT_EQ(names, (std::vector<std::string>{"q2", "iq4", "q8"}));
  EXPECT_TRUE(frontier(kFiles, "nobody").empty());
}

TEST(SizeCurve, LossBetweenFilesIsLogLinear) {
  const std::vector<SizedFile> files = {file("a", "1", 2, 0.1), file("a", "2", 4, 0.001)};
  EXPECT_NEAR(*loss_at(files, "a", 3), 0.01, 1e-12);
  EXPECT_EQ(*loss_at(files, "a", 2), 0.1);
  EXPECT_EQ(*loss_at(files, "a", 4), 0.001);
  EXPECT_FALSE(loss_at(files, "a", 1.9));
  EXPECT_FALSE(loss_at(files, "a", 4.1));
  EXPECT_FALSE(loss_at(files, "b", 3));
}

RC_GTEST_PROP(SizeCurve, FrontiersFallAndHoldTheBest, ()) {
  std::vector<SizedFile> files;
  for (const auto& [bits, loss] : *rc::gen::container<std::vector<std::pair<int, int>>>(
           rc::gen::pair(rc::gen::inRange(1, 20), rc::gen::inRange(1, 20)))) {
    files.push_back(file("m", "", bits, loss));
  }
  const auto kept = frontier(files, "m");
  for (size_t k = 1; k < kept.size(); ++k) {
    RC_ASSERT(files[kept[k - 1]].bits < files[kept[k]].bits);
    RC_ASSERT(files[kept[k - 1]].loss > files[kept[k]].loss);
  }
  for (const SizedFile& f : files) {
    const size_t chosen = *best_within(files, "m", f.bits);
    RC_ASSERT(files[chosen].loss <= f.loss);
    RC_ASSERT(files[chosen].bits <= f.bits);
    RC_ASSERT(std::ranges::count(kept, chosen) == 1);
  }
}

}  // namespace
}  // namespace pith::audit
