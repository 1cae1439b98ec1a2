// Methods whose codes stand for several neighbours, on weights with rows and columns of different
// size and inputs that are correlated; errors are those of other inputs than they have seen.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/base/error.h"
#include "testing_matrix.h"

namespace pith::recipe {
namespace {

using form::Matrix;
using testing::normal;
using Outcome = testing::MatrixOutcome;

constexpr uint64_t kRows = 512, kColumns = 256;

Matrix weights() {
  Matrix w = normal({kRows, kColumns}, 1);
  const Matrix rows = normal({1, kRows}, 2), columns = normal({1, kColumns}, 3);
  for (uint64_t r = 0; r < kRows; ++r) {
    for (uint64_t c = 0; c < kColumns; ++c) {
      w.row(r)[c] *= 0.02f * std::exp(0.3f * rows.values[r] + 0.5f * columns.values[c]);
    }
  }
  return w;
}

const testing::MatrixBench& bench() {
  static const testing::MatrixBench b(weights(), {.shared = 0.3f, .large = 4});
  return b;
}

Outcome outcome(const fit::Fitter& fitter) { return bench().of_fitter(fitter); }

Outcome of_recipe(std::string_view name, const Values& values = {}) {
  return bench().of_recipe(name, values);
}

TEST(VectorQuantizingRecipes, PvqIsBetterThanGptqOfTheSameRotatedWeights) {
  const Outcome ours = of_recipe("pvq", {{"hundredths", "318"}});
  const Outcome gptq = outcome(
      fit::in_basis(form::parse("hadamard"),
                    fit::feedback_fitter(form::parse("uniform(3, group=64)"), {.sweeps = 0})));
  EXPECT_LT(ours.bits, gptq.bits + 0.001);
  EXPECT_LT(gptq.bits, 3.27);
  EXPECT_LT(ours.error, 0.75 * gptq.error);
}

TEST(VectorQuantizingRecipes, PvqGainsBySecondMoments) {
  const Outcome ours = of_recipe("pvq"), plain = of_recipe("pvq", {{"hessian", "no"}});
  EXPECT_EQ(ours.form, plain.form);
  EXPECT_EQ(ours.bits, plain.bits);
  EXPECT_LT(ours.error, 0.6 * plain.error);
  Plan plan;
  apply(find_recipe("S242"), {{"hessian", "no"}}, plan);
  EXPECT_FALSE(plan.calibrated);
}

TEST(VectorQuantizingRecipes, QtipIsBetterThanVectorsAndScalarsOfTheSameRotatedWeights) {
  const auto beside = [](const char* text) {
    return outcome(fit::in_basis(form::parse("hadamard(seed=1)"),
                                 fit::feedback_fitter(form::parse(text), {.damping = 0.03})));
  };
  const Outcome ours = of_recipe("qtip", {{"states", "512"}});
  EXPECT_EQ(ours.form, "hadamard(seed=1) | trellis(2, states=512)");
  const Outcome e8 = beside("lattice(e8, 2)");
  EXPECT_LT(ours.bits, e8.bits + 8.0 / kColumns + 0.01);
  EXPECT_LT(ours.error, 0.97 * e8.error);
  const Outcome three = of_recipe("qtip", {{"bits", "3"}, {"states", "256"}});
  EXPECT_LT(three.error, 0.75 * beside("uniform(3, group=row, grid=gaussian)").error);
}

TEST(VectorQuantizingRecipes, QtipGainsBySecondMoments) {
  const Values quick = {{"states", "256"}};
  Values without = quick;
  without["hessian"] = "no";
  const Outcome ours = of_recipe("qtip", quick), plain = of_recipe("qtip", without);
  EXPECT_EQ(ours.form, plain.form);
  EXPECT_EQ(ours.bits, plain.bits);
  EXPECT_LT(ours.error, 0.6 * plain.error);
}

// The one without norms gets a second codebook, which takes more bytes than norms do.
TEST(VectorQuantizingRecipes, NowagsNormsAreWorthTheirBytes) {
  const Outcome ours = of_recipe("nowag-vq");
  EXPECT_EQ(ours.form, "scale | codebook(256, dim=4, group=row)");
  const Outcome without =
      outcome(fit::importance_fitter(form::parse("codebook(256, dim=4, rows=256)")));
  EXPECT_LT(ours.bits, without.bits);
  EXPECT_LT(ours.error, without.error);
  EXPECT_LT(of_recipe("nowag-vq", {{"normalized", "no"}}).error, 0.8 * ours.error);
}

TEST(VectorQuantizingRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  for (const char* text : {"0", "49", "801", "x", "3.25", ""}) {
    EXPECT_THROW(apply(find_recipe("pvq"), {{"hundredths", text}}, plan), Error) << text;
  }
  EXPECT_THROW(apply(find_recipe("pvq"), {{"hessian", "perhaps"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("nowag-vq"), {{"entries", "1"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("qtip"), {{"bits", "7"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("qtip"), {{"bits", "3"}, {"states", "64"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("QTIP"), {{"states", "131072"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("QTIP"), {{"states", "1000"}}, plan), Error);
  EXPECT_THROW(apply(find_recipe("nowag-vq"), {{"dim", "0"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
