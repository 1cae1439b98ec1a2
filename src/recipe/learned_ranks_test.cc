// Learned positions of truncation, on the reference model.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "testing_matrix.h"
#include "testing_reference.h"

namespace pith::recipe {
namespace {

using testing::Outcome;

constexpr std::string_view kOthers = "layers.[1-7]";

// At half the bytes of the first layer's matrices.
weights::Limits half() {
  Plan whole;
  whole.candidates.push_back({"whole", fit::nearest_fitter(form::parse("dense(bf16)"))});
  leave_vocabulary(whole);
  static const Outcome as_it_was = testing::outcome(std::move(whole), kOthers);
  double matrices = 0;
  for (const weights::PlannedTensor& t : as_it_was.tensors) {
    matrices += t.bits * static_cast<double>(t.elements) / 8;
  }
  return {.bytes = static_cast<uint64_t>(as_it_was.bytes - matrices / 2)};
}

Outcome made(Values values) {
  values.try_emplace("windows", "2");
  values.try_emplace("steps", "8");
  Outcome out = testing::of_recipe("dobi-svd", values, kOthers, half());
  EXPECT_LE(out.bytes, 1.001 * static_cast<double>(*half().bytes));
  return out;
}

TEST(DobiSvdQuality, LearnedRanksLoseLessThanTheSameEverywhere) {
  EXPECT_LT(made({}).divergence, made({{"ranks", "same"}}).divergence);
}

TEST(DobiSvdQuality, LosesLessThanWhatInputsWeighInWholeFactors) {
  const double ours = made({}).divergence;
  for (const fit::Weighing by : {fit::Weighing::kInputs, fit::Weighing::kMoments}) {
    const fit::TruncationOptions options{.damping = 0, .by = by};
    const Outcome other = testing::of_fitter(
        fit::low_rank_of_share(0.5, form::parse("dense(f16)"), options), kOthers);
    EXPECT_NEAR(other.bytes, static_cast<double>(*half().bytes), 0.02 * other.bytes);
    EXPECT_LT(ours, 0.5 * other.divergence);
  }
}

TEST(DobiSvd, NeverTakesMoreThanTheWholeMatrix) {
  Plan plan;
  apply(find_recipe("dobi-svd"), {}, plan);
  for (const form::Shape shape : {form::Shape{64, 64}, {96, 40}, {40, 96}, {1, 64}, {64, 1}}) {
    const form::Matrix w = testing::normal(shape, 3);
    const fit::Metric metric = testing::inputs_of(shape.cols, {.shared = 1}, 4);
    const uint64_t whole = form::bits(*form::encode(form::parse("dense(bf16)"), w.view()));
    uint64_t last = 0;
    double error = INFINITY;
    for (const weights::FormCandidate& c : plan.candidates) {
      const fit::Fitted fitted = c.fitter({"w", w.view(), metric, {}, 1});
      const uint64_t bits = form::bits(*fitted.form);
      EXPECT_LE(bits, whole) << c.name;
      EXPECT_GE(bits, last) << c.name;  // grows with the rank
      EXPECT_LE(fitted.error, 1.001 * error) << c.name;
      last = bits;
      error = fitted.error;
    }
    EXPECT_LT(error, 1e-3 * fit::error(metric, w.view(), form::Matrix(shape).view(), 1));
  }
}

TEST(DobiSvd, RefusesWhatItCannotDo) {
  Plan plan;
  const Recipe& recipe = find_recipe("dobi-svd");
  for (const char* steps : {"0", "x", "-1"}) {
    EXPECT_THROW(apply(recipe, {{"steps", steps}}, plan), Error) << steps;
  }
  for (const char* key : {"rate", "width"}) {
    EXPECT_THROW(apply(recipe, {{key, "0"}}, plan), Error) << key;
    EXPECT_THROW(apply(recipe, {{key, "nan"}}, plan), Error) << key;
  }
  EXPECT_THROW(apply(recipe, {{"ranks", "best"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"factors", "dense("}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"damping", "-1"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
