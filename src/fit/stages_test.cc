#include "pith/fit/stages.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::fit {
namespace {

constexpr StageKind kCodes = StageKind::kCodes, kRank = StageKind::kRank, kMask = StageKind::kMask;

class Stages : public ::testing::Test {
 protected:
  Stages() {
    for (size_t i = 0; i < weights.values.size(); ++i) {
      weights.values[i] = static_cast<float>(random_unit(1, i) - 0.5);
    }
  }
  Fitted fitted(std::vector<Stage> stages, const StageOptions& options = {}) const {
    return in_stages(std::move(stages), options)({"w", weights.view(), metric, {}, 1});
  }
  std::string form_of(std::vector<Stage> stages, const StageOptions& options = {}) const {
    return form::to_string(fitted(std::move(stages), options).form->expression());
  }

  form::Matrix weights{form::Shape{48, 32}};
  Metric metric;
};

TEST_F(Stages, TheLastOnesSayWhatIsStored) {
  EXPECT_EQ(form_of({{kCodes, 4}}), "uniform(4, group=32)");
  EXPECT_EQ(form_of({{kMask, 0.5}, {kCodes, 3}}), "sparse(0.5, values=uniform(3, group=32))");
  EXPECT_EQ(form_of({{kCodes, 3}, {kMask, 0.5}}), "sparse(0.5, values=uniform(3, group=32))");
  EXPECT_EQ(form_of({{kMask, 0.5}}, {.block = 4}), "sparse(0.5, block=4)");
  EXPECT_EQ(form_of({{kRank, 0.5}, {kCodes, 8}}), "lowrank(9, factors=uniform(8, group=32))");
  EXPECT_EQ(form_of({{kCodes, 8}, {kRank, 0.5}}), "lowrank(9, factors=dense(f16))");
  EXPECT_EQ(form_of({{kRank, 0.5}, {kMask, 0.5}}), "lowrank(9, factors=sparse(0.5))");
}

TEST_F(Stages, EachWorksOnWhatTheOneBeforeLeft) {
  const double masked = fitted({{kMask, 0.5}}).error;
  EXPECT_GT(fitted({{kMask, 0.5}, {kCodes, 6}}).error, masked);
  EXPECT_LT(fitted({{kMask, 0.5}, {kCodes, 6}}).error, 1.1 * masked);
  EXPECT_GT(fitted({{kCodes, 2}, {kRank, 0.5}}).error, fitted({{kRank, 0.5}}).error);
  EXPECT_LT(fitted({{kCodes, 4}}).error, fitted({{kCodes, 3}}).error);
}

TEST_F(Stages, RefusesWhatCannotBe) {
  EXPECT_THROW(in_stages({}), Error);
  EXPECT_THROW(in_stages({{kCodes, 4}, {kCodes, 3}}), Error);
  for (const Stage& bad : {Stage{kCodes, 0}, Stage{kCodes, 9}, Stage{kCodes, 2.5}, Stage{kRank, 0},
                           Stage{kRank, 1.5}, Stage{kMask, -1}}) {
    EXPECT_THROW(in_stages({bad}), Error) << bad.size;
  }
}

}  // namespace
}  // namespace pith::fit
