// Methods that prune after training, on a few matrices of the reference model: what is lost on text
// that nothing was fitted to, beside simpler ways at the same size.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>

#include "pith/base/error.h"
#include "pith/fit/kronecker_removal.h"
#include "pith/fit/masks.h"
#include "pith/fit/quantizers.h"
#include "testing_matrix.h"
#include "testing_reference.h"

namespace pith::recipe {
namespace {

using testing::of_fitter;
using testing::of_recipe;
using testing::Outcome;

// What is left alone: all but the attention, or all, of the first two layers.
constexpr std::string_view kButAttention = "layers.[2-7]|mlp", kButLayers = "layers.[2-7]";

Outcome largest(const std::string& keep, std::string_view others) {
  return of_fitter(fit::nearest_fitter(form::parse("sparse(" + keep + ")")), others);
}

TEST(PruningQuality, ObcLosesLessThanTheLargestWeightsAndNearestCodes) {
  for (const char* keep : {"50%", "2:4"}) {
    const Outcome ours = of_recipe("obc", {{"keep", keep}}, kButAttention);
    const Outcome plain = largest(keep, kButAttention);
    EXPECT_NEAR(ours.bytes, plain.bytes, 1e-3 * plain.bytes);
    EXPECT_LT(ours.divergence, 0.8 * plain.divergence) << keep;
  }
  const Outcome ours = of_recipe("obc", {{"keep", "all"}, {"bits", "3"}}, kButAttention);
  const Outcome plain =
      of_fitter(fit::nearest_fitter(form::parse("uniform(3, group=64)")), kButAttention);
  EXPECT_EQ(ours.bytes, plain.bytes);
  EXPECT_LT(ours.divergence, 0.9 * plain.divergence);
}

TEST(PruningQuality, ObcsLevelsAreBetterThanOneForAll) {
  const Outcome one = of_recipe("obc", {{"keep", "50%"}}, kButAttention);
  const Outcome several = of_recipe("obc", {{"keep", "20%+35%+50%+65%+80%"}}, kButAttention,
                                    {.bytes = static_cast<uint64_t>(one.bytes)});
  EXPECT_LE(several.bytes, 1.001 * one.bytes);
  EXPECT_LT(several.divergence, one.divergence);
}

TEST(PruningQuality, SparseGptAndWandaLoseLessThanTheLargestWeights) {
  const Outcome plain = largest("2:4", kButAttention);
  EXPECT_LT(of_recipe("wanda", {{"keep", "2:4"}}, kButAttention).divergence, plain.divergence);
  EXPECT_LT(of_recipe("sparsegpt", {{"keep", "2:4"}}, kButAttention).divergence,
            0.8 * plain.divergence);
}

TEST(PruningQuality, NowagAgainstWanda) {
  for (const char* keep : {"50%", "2:4"}) {
    const Outcome ours = of_recipe("nowag", {{"keep", keep}}, kButLayers);
    const Outcome wanda = of_recipe("wanda", {{"keep", keep}}, kButLayers);
    EXPECT_NEAR(ours.bytes, wanda.bytes, 1e-3 * wanda.bytes);
    EXPECT_LT(ours.divergence, 1.1 * wanda.divergence) << keep;
  }
}

TEST(PruningQuality, ArmorLosesLessThanItsStartsAndSparseGpt) {
  double others = INFINITY;
  for (const char* name : {"wanda", "nowag", "sparsegpt"}) {
    const Outcome other = of_recipe(name, {{"keep", "2:4"}}, kButAttention);
    others = std::min(others, other.divergence);
  }
  Outcome before{others, 0, {}};
  for (const char* block : {"8", "32"}) {
    const Outcome ours = of_recipe("armor", {{"block", block}}, kButAttention);
    EXPECT_LT(ours.divergence, before.divergence) << block;
    EXPECT_GT(ours.bytes, before.bytes) << block;  // of the wrappers
    before = ours;
  }
}

// Its wrappers hold two bytes, and multiply once, for each place of a block: a block's width for
// each input and each output.
TEST(Armor, WrappersCostBytesAndMultiplicationsByTheirBlocks) {
  constexpr uint64_t kRows = 64, kCols = 96, kNamesAndSizes = 256;
  const form::Matrix weights = testing::normal({kRows, kCols}, 1);
  const uint64_t core = form::bits(*form::encode(form::parse("sparse(2:4)"), weights.view())) / 8;
  const fit::Metric seen = testing::inputs_of(kCols, {}, 10);
  std::map<uint64_t, uint64_t> bytes;
  for (const uint64_t block : {4, 8, 16, 32}) {
    Plan plan;
    apply(find_recipe("armor"), {{"block", fmt::format("{}", block)}, {"rounds", "1"}}, plan);
    const fit::Fitted made = plan.candidates.at(0).fitter({"w", weights.view(), seen, {}, 1});
    bytes[block] = form::bits(*made.form) / 8;
    EXPECT_GT(bytes[block], core + 2 * block * (kRows + kCols));
    EXPECT_LT(bytes[block], core + 2 * block * (kRows + kCols) + kNamesAndSizes);
    // So many numbers are multiplied by: over those of a dense matrix that is block / inputs +
    // block / outputs.
    const auto numbers = static_cast<double>(bytes[block] - bytes[4]) / 2;
    EXPECT_EQ(numbers, static_cast<double>((block - 4) * (kRows + kCols)));
    EXPECT_DOUBLE_EQ(numbers / (kRows * kCols), (static_cast<double>(block) - 4) / kCols +
                                                    (static_cast<double>(block) - 4) / kRows);
  }
}

TEST(PruningQuality, ObertLosesLessThanTheLargestWeights) {
  for (const char* keep : {"50%", "10%"}) {
    const Outcome ours = of_recipe("obert", {{"keep", keep}, {"tokens", "8"}}, kButAttention);
    const Outcome plain = largest(keep, kButAttention);
    EXPECT_NEAR(ours.bytes, plain.bytes, 1e-3 * plain.bytes);
    EXPECT_LT(ours.divergence, plain.divergence) << keep;
  }
}

TEST(PruningQuality, TheSurgeonsBothCurvaturesUpdateAndShotsAllGain) {
  const auto pattern = form::parse("sparse(75%, pattern=columns)");
  const auto with = [&](fit::OutputMoments outputs, bool update) {
    const fit::KroneckerOptions o{.shots = 1, .update = update};
    return of_fitter(fit::kronecker_fitter(pattern, std::move(outputs), o), kButLayers).divergence;
  };
  const double several = of_recipe("llm-surgeon", {}, kButLayers).divergence;
  const double one = of_recipe("llm-surgeon", {{"shots", "1"}}, kButLayers).divergence;
  const double inputs_alone = with([](const fit::Task&) { return fit::Metric(); }, true);
  const double masked = with({}, false);
  const double plain = of_fitter(fit::nearest_fitter(pattern), kButLayers).divergence;
  EXPECT_LT(several, one);
  EXPECT_LT(one, inputs_alone);
  EXPECT_LT(one, 0.8 * masked);
  EXPECT_LT(masked, plain);
}

TEST(PruningQuality, TheSurgeonSharesOutRowsOfAllMatrices) {
  const Outcome one =
      of_recipe("llm-surgeon", {{"pattern", "rows"}, {"shots", "1"}}, kButAttention);
  const Outcome several = of_recipe(
      "llm-surgeon", {{"pattern", "rows"}, {"shots", "1"}, {"keep", "40%+60%+75%+90%+100%"}},
      kButAttention, {.bytes = static_cast<uint64_t>(one.bytes)});
  EXPECT_LE(several.bytes, 1.001 * one.bytes);
  EXPECT_LT(several.divergence, one.divergence);
}

TEST(PruningRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  for (const char* name : {"obc", "nowag", "wanda", "sparsegpt", "obert", "llm-surgeon", "armor"}) {
    for (const char* keep : {"", "50%+", "+", "x", "200%", "5:4", "0:4"}) {
      EXPECT_THROW(apply(find_recipe(name), {{"keep", keep}}, plan), Error) << name << keep;
    }
  }
  for (const char* name : {"obc", "sparsegpt", "obert"}) {
    for (const char* bits : {"9", "x", "", "3.5", "-1"}) {
      EXPECT_THROW(apply(find_recipe(name), {{"bits", bits}}, plan), Error) << name << bits;
    }
  }
  EXPECT_THROW(apply(find_recipe("obc"), {{"keep", "all"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("armor"), {{"block", "0"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("armor"), {{"wrap", "none"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("obert"), {{"block", "5"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("obert"), {{"keep", "2:4"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("obert"), {{"damping", "0"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("obert"), {{"damping", "nan"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("llm-surgeon"), {{"pattern", "blocks"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("llm-surgeon"), {{"shots", "0"}}, plan), Error);
}

// What they ask for is not there.
TEST(PruningQuality, SayWhatTheyMiss) {
  const form::Matrix w({8, 8});
  const fit::Metric nothing;
  for (const char* name : {"obert", "llm-surgeon"}) {
    Plan plan;
    apply(find_recipe(name), {}, plan);
    EXPECT_THROW(plan.candidates[0].fitter({"w", w.view(), nothing, {}, 1}), Error) << name;
  }
}

}  // namespace
}  // namespace pith::recipe
