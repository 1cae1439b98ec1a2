// Methods that round after training, on weights with outliers and inputs with a few large channels
// and strong correlations; errors are those of other inputs than they have seen.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "testing_matrix.h"

namespace pith::recipe {
namespace {

using form::Matrix;
using testing::normal;
using Outcome = testing::MatrixOutcome;

constexpr uint64_t kRows = 96, kColumns = 256;

Matrix weights() {
  Matrix w = normal({kRows, kColumns}, 1);
  for (size_t i = 0; i < w.values.size(); ++i) w.values[i] *= i % 101 == 0 ? 0.15f : 0.02f;
  return w;
}

const testing::MatrixBench& bench() {
  static const testing::MatrixBench b(weights(), {.shared = 0.6f, .large = 12});
  return b;
}

Outcome outcome(const fit::Fitter& fitter) { return bench().of_fitter(fitter); }

Outcome of_recipe(std::string_view name, const Values& values = {}) {
  return bench().of_recipe(name, values);
}

Outcome nearest(std::string_view expression) {
  return outcome(fit::nearest_fitter(form::parse(expression)));
}

TEST(QuantizingRecipes, GptqIsBetterThanRoundingAtTheSameSize) {
  for (const char* order : {"natural", "activation"}) {
    const Outcome ours = of_recipe("gptq", {{"bits", "3"}, {"group", "64"}, {"order", order}});
    const Outcome rounded = nearest("uniform(3, group=64, zero=true)");
    EXPECT_EQ(ours.bits, rounded.bits);
    EXPECT_LT(ours.error, 0.5 * rounded.error) << order;
  }
}

TEST(QuantizingRecipes, AwqIsBetterThanRoundingWithoutFeedback) {
  const Outcome ours = of_recipe("awq", {{"bits", "3"}, {"group", "128"}});
  const Outcome rounded = nearest("uniform(3, group=128, zero=true)");
  EXPECT_EQ(ours.form, "scale | uniform(3, group=128, zero=true)");
  EXPECT_LT(ours.bits, rounded.bits + 16.0 / kRows + 0.03);
  EXPECT_LT(ours.error, 0.85 * rounded.error);
}

TEST(QuantizingRecipes, SpqrsOutliersAndFeedbackBothGain) {
  const Outcome ours = of_recipe("spqr");
  const Outcome without = of_recipe("spqr", {{"outliers", "0"}});
  EXPECT_LT(ours.error, 0.6 * without.error);
  EXPECT_LT(ours.error, 0.5 * nearest("uniform(3, group=16, zero=true, scales=uniform(3, "
                                      "group=16, zero=true)) + sparse(1%)")
                                  .error);
}

TEST(QuantizingRecipes, AdaquantsLearnedCodesAreBetterThanFeedbackAlone) {
  const Outcome ours = of_recipe("adaquant", {{"bits", "3"}, {"group", "64"}});
  const Outcome fed =
      outcome(fit::feedback_fitter(form::parse("uniform(3, group=64)"), {.sweeps = 0}));
  EXPECT_EQ(ours.bits, fed.bits);
  EXPECT_LT(ours.error, 0.95 * fed.error);
}

TEST(QuantizingRecipes, QuestsTransformLeavesNothingForOutliersToSpoil) {
  const Outcome ours = of_recipe("quest", {{"bits", "4"}});
  EXPECT_LT(ours.error, 0.7 * nearest("uniform(4, group=row, grid=gaussian)").error);
  EXPECT_EQ(ours.form, "hadamard | uniform(4, group=row, grid=gaussian)");
  Plan plan;
  apply(find_recipe("quest"), {}, plan);
  EXPECT_FALSE(plan.calibrated);
}

TEST(QuantizingRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  for (const char* name : {"gptq", "awq", "spqr", "adaquant", "quest"}) {
    for (const char* bits : {"0", "9", "x", "", "3.5"}) {
      EXPECT_THROW(apply(find_recipe(name), {{"bits", bits}}, plan), Error) << name << bits;
    }
  }
  EXPECT_THROW(apply(find_recipe("gptq"), {{"order", "random"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("adaquant"), {{"sweeps", "0"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
