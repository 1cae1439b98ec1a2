// Methods of low rank on a few matrices of the reference model.
#include "pith/fit/low_rank.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/fit/feedback.h"
#include "pith/fit/quantizers.h"
#include "testing_reference.h"

namespace pith::recipe {
namespace {

using testing::of_fitter;
using testing::of_recipe;
using testing::Outcome;

constexpr std::string_view kOthers = "layers.[2-7]";

// The squared error of all matrices that a fitter sees.
fit::Fitter counting(fit::Fitter fitter, double& error) {
  return [=, &error](const fit::Task& task) {
    fit::Fitted made = fitter(task);
    error += fit::error(fit::Metric(), task.weights, form::decode(*made.form).view(), 1);
    return made;
  };
}

// Of all layers: in a few of them it may be the other way round.
TEST(LowRankQuality, FwsvdLosesLessThoughMoreOfTheMatrixIsGone) {
  const auto lost = [&](const char* importance, double& error) {
    Plan plan;
    apply(find_recipe("fwsvd"), {{"keep", "60%"}, {"importance", importance}}, plan);
    plan.candidates[0].fitter = counting(plan.candidates[0].fitter, error);
    return testing::outcome(std::move(plan), "embed");
  };
  double plain_error = 0, error = 0;
  const Outcome plain = lost("nothing", plain_error);
  const Outcome ours = lost("inputs", error);
  EXPECT_EQ(ours.bytes, plain.bytes);
  EXPECT_GT(error, plain_error);
  EXPECT_LT(ours.divergence, plain.divergence);
}

TEST(LowRankQuality, EoraMakesUpForMoreThanPlainSingularVectors) {
  const auto rank = form::parse("lowrank(16)");
  const fit::TruncationOptions nothing{.by = fit::Weighing::kNothing};
  const auto pruned = fit::sparse_fitter(form::parse("sparse(2:4)"));
  // After as little text as here, inputs are known less well than the default damping takes them
  // to.
  const Outcome ours = of_recipe("eora", {{"damping", "3"}}, kOthers);
  const Outcome plain = of_fitter(fit::compensated(pruned, rank, nothing), kOthers);
  EXPECT_EQ(ours.bytes, plain.bytes);
  EXPECT_LT(ours.divergence, plain.divergence);
  EXPECT_LT(ours.divergence, of_fitter(pruned, kOthers).divergence);

  const auto rounded = fit::feedback_fitter(form::parse("uniform(3, group=64)"), {.sweeps = 0});
  const Outcome three =
      of_recipe("eora", {{"keep", "all"}, {"bits", "3"}, {"damping", "3"}}, kOthers);
  const Outcome three_plain = of_fitter(fit::compensated(rounded, rank, nothing), kOthers);
  EXPECT_EQ(three.bytes, three_plain.bytes);
  EXPECT_LT(three.divergence, three_plain.divergence);
}

TEST(LowRankQuality, RanksAreSharedOut) {
  const Outcome one = of_recipe("eora", {{"rank", "16"}}, "layers.[2-7]|mlp");
  const Outcome several = of_recipe("eora", {{"rank", "4+8+16+32"}}, "layers.[2-7]|mlp",
                                    {.bytes = static_cast<uint64_t>(one.bytes)});
  EXPECT_LE(several.bytes, 1.001 * one.bytes);
  EXPECT_LT(several.divergence, one.divergence);
}

TEST(LowRankRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  for (const char* keep : {"", "60", "x%", "-1%", "60%+", "nan%", "101%"}) {
    EXPECT_THROW(apply(find_recipe("fwsvd"), {{"keep", keep}}, plan), Error) << keep;
  }
  EXPECT_THROW(apply(find_recipe("fwsvd"), {{"importance", "rows"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("fwsvd"), {{"factors", "dense("}}, plan), Error);
  for (const char* rank : {"", "x", "-1", "16+", "1.5"}) {
    EXPECT_THROW(apply(find_recipe("eora"), {{"rank", rank}}, plan), Error) << rank;
  }
  EXPECT_THROW(apply(find_recipe("eora"), {{"keep", "all"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("eora"), {{"base", "best"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("eora"), {{"damping", "-1"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
