// Methods that round after training, on weights with outliers and inputs with a few large channels
// and strong correlations; errors are those of other inputs than they have seen.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using fit::Fitted;
using fit::Metric;
using form::Matrix;

constexpr uint64_t kRows = 96, kColumns = 256;

Matrix normal(form::Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

Matrix weights() {
  Matrix w = normal({kRows, kColumns}, 1);
  for (size_t i = 0; i < w.values.size(); ++i) w.values[i] *= i % 101 == 0 ? 0.15f : 0.02f;
  return w;
}

Metric inputs(uint32_t seed) {
  constexpr uint64_t kTokens = 2000, kStrong = 24;
  Matrix x = normal({kTokens, kColumns}, seed);
  const Matrix hidden = normal({kTokens, kStrong}, seed + 1), mix = normal({kStrong, kColumns}, 99);
  for (uint64_t t = 0; t < kTokens; ++t) {
    for (uint64_t c = 0; c < kColumns; ++c) {
      for (uint64_t k = 0; k < kStrong; ++k) {
        x.row(t)[c] += 0.6f * hidden.view().row(t)[k] * mix.view().row(k)[c];
      }
      if (c % 60 == 7) x.row(t)[c] *= 12;
    }
  }
  fit::SecondMoment moment(kColumns);
  moment.add(x.view(), 1);
  return Metric::of(std::move(moment));
}

struct Bench {
  Matrix w = weights();
  Metric seen = inputs(10), other = inputs(20);
};
const Bench& bench() {
  static const Bench b;
  return b;
}

struct Outcome {
  double error, bits;
  std::string form;
};

Outcome outcome(const fit::Fitter& fitter) {
  const Bench& b = bench();
  const Fitted fitted = fitter({"w", b.w.view(), b.seen, {}, 1});
  return {fit::error(b.other, b.w.view(), form::decode(*fitted.form).view(), 1),
          static_cast<double>(form::bits(*fitted.form)) / static_cast<double>(b.w.shape.size()),
          form::to_string(fitted.form->expression())};
}

Outcome of_recipe(std::string_view name, const Values& values = {}) {
  Plan plan;
  apply(find_recipe(name), values, plan);
  EXPECT_EQ(plan.candidates.size(), 1u);
  EXPECT_EQ(plan.candidates[0].name, name);
  return outcome(plan.candidates[0].fitter);
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
