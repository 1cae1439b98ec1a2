// Groups that are pruned and rounded, on a generated matrix whose inputs are correlated, measured
// on other inputs.
#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/fit/feedback.h"
#include "testing_matrix.h"

namespace pith::recipe {
namespace {

using testing::MatrixBench;
using testing::MatrixOutcome;
using testing::normal;

MatrixOutcome outcome(const MatrixBench& bench, const Values& values) {
  Plan plan;
  apply(find_recipe("gqsa"), values, plan);
  EXPECT_EQ(plan.candidates.size(), 1u);
  return bench.of_fitter(plan.candidates[0].fitter);
}

TEST(GroupPruning, ReconstructionGainsAndTakesNoMoreBytes) {
  const MatrixBench bench(normal({64, 128}, 1), {.shared = 0.5f});
  const MatrixOutcome ours = outcome(bench, {});
  EXPECT_EQ(ours.form, "sparse(0.5, block=16, values=uniform(4, group=16, zero=true))");
  // 4 bits, a scale and a zero point for 16 of them, and a bit for each group.
  EXPECT_NEAR(ours.bits, 0.5 * (4 + 2) + 1.0 / 16, 0.3);
  const MatrixOutcome masked = outcome(bench, {{"reconstruct", "no"}});
  EXPECT_EQ(masked.bits, ours.bits);
  EXPECT_LT(ours.error, 0.5 * masked.error);
  EXPECT_LT(outcome(bench, {{"keep", "75%"}}).error, ours.error);
}

// In matrices without structure, single weights are better to choose than groups of them: what 2:4
// keeps in as many bits loses less.
TEST(GroupPruning, LosesMoreThanSingleWeightsOfAsManyBits) {
  const MatrixBench bench(normal({64, 128}, 1), {.shared = 0.5f});
  const MatrixOutcome ours = outcome(bench, {});
  const MatrixOutcome single =
      bench.of_fitter(fit::sparse_fitter(form::parse("sparse(2:4, values=uniform(4))")));
  EXPECT_NEAR(single.bits, ours.bits, 0.2);
  EXPECT_LT(single.error, ours.error);
}

TEST(GroupPruning, RefusesWhatItCannotDo) {
  Plan plan;
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"keep", "2:4"},
                                                                  {"keep", "150%"},
                                                                  {"keep", ""},
                                                                  {"bits", "9"},
                                                                  {"group", "0"},
                                                                  {"scales", "uniform("},
                                                                  {"reconstruct", "maybe"},
                                                                  {"damping", "-1"}}) {
    EXPECT_THROW(apply(find_recipe("gqsa"), {{key, value}}, plan), Error) << key << value;
  }
}

}  // namespace
}  // namespace pith::recipe
