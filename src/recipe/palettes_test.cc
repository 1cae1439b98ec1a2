// Palettes, codewords and patterns that outputs share, on generated matrices, measured on other
// inputs.
#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"
#include "testing_matrix.h"

namespace pith::recipe {
namespace {

using testing::MatrixBench;
using testing::MatrixOutcome;
using testing::normal;

MatrixOutcome outcome(const MatrixBench& bench, std::string_view name, const Values& values) {
  Plan plan;
  apply(find_recipe(name), values, plan);
  EXPECT_EQ(plan.candidates.size(), 1u);
  return bench.of_fitter(plan.candidates[0].fitter);
}

MatrixOutcome nearest(const MatrixBench& bench, const char* expression) {
  return bench.of_fitter(fit::nearest_fitter(form::parse(expression)));
}

TEST(PaletteRecipes, TrainedOnesLoseLessThanKMeansAndRounding) {
  const MatrixBench bench(normal({64, 128}, 1), {.shared = 0.5f});
  const MatrixOutcome trained = outcome(bench, "edkm", {});
  const MatrixOutcome plain = nearest(bench, "codebook(8)");
  const MatrixOutcome rounded = nearest(bench, "uniform(3, group=tensor, zero=true)");
  EXPECT_EQ(trained.form, "codebook(8)");
  EXPECT_EQ(trained.bits, plain.bits);
  EXPECT_NEAR(trained.bits, rounded.bits, 0.1);
  EXPECT_LT(trained.error, 0.7 * plain.error);
  EXPECT_LT(trained.error, 0.7 * rounded.error);
  EXPECT_LT(trained.error, outcome(bench, "edkm", {{"steps", "0"}}).error);
}

TEST(PaletteRecipes, CountsAreFoundForEachMatrix) {
  form::Matrix few = normal({64, 64}, 1), heavy = normal({64, 64}, 2);
  for (uint64_t i = 0; i < few.values.size(); ++i) {
    few.values[i] = static_cast<float>(i * i % 6) + 0.01f * few.values[i];
    heavy.values[i] *= std::fabs(heavy.values[i]) * std::fabs(heavy.values[i]);
  }
  const MatrixOutcome of_few =
      outcome(MatrixBench(few, {}), "dynamical-clustering", {{"distance", "0.1"}});
  const form::Matrix even = normal({64, 64}, 3);
  const auto count = [](const MatrixOutcome& o) { return std::stoi(o.form.substr(9)); };
  EXPECT_LE(count(of_few), 6);
  const MatrixOutcome normals = outcome(MatrixBench(even, {}), "dynamical-clustering", {});
  const MatrixOutcome tails = outcome(MatrixBench(heavy, {}), "dynamical-clustering", {});
  EXPECT_GT(count(tails), count(normals));
  // Sharing values loses less than removing the smallest at as many bits; k-means of a fixed number
  // loses less than clusters of a found one.
  const MatrixBench bench(even, {});
  EXPECT_LT(normals.error, 0.3 * nearest(bench, "sparse(25%)").error);
  const std::string fixed = fmt::format("codebook({})", count(normals));
  const MatrixOutcome means = nearest(bench, fixed.c_str());
  EXPECT_EQ(means.bits, normals.bits);
  EXPECT_LT(means.error, normals.error);
}

TEST(PaletteRecipes, CodewordsAreOfWhatTakesNoMoreBytes) {
  // Runs of 16 that are mixes of four.
  const form::Matrix from = normal({96, 24}, 4), mix = normal({4, 16}, 5);
  form::Matrix w = normal({96, 96}, 6);
  for (uint64_t r = 0; r < 96; ++r) {
    for (uint64_t c = 0; c < 96; ++c) {
      w.row(r)[c] *= 0.1f;
      for (uint64_t k = 0; k < 4; ++k) {
        w.row(r)[c] += from.view().row(r)[c / 16 * 4 + k] * mix.view().row(k)[c % 16];
      }
    }
  }
  const MatrixBench bench(w, {});
  const Values shape = {{"length", "16"}, {"entries", "64"}};
  const MatrixOutcome ours = outcome(bench, "lr2vq", shape);
  Values whole = shape;
  whole.emplace("dim", "16");
  const MatrixOutcome plain = outcome(bench, "lr2vq", whole);
  EXPECT_EQ(plain.form, "codebook(64, dim=16)");
  EXPECT_NE(ours.form.find("repeated(16)"), std::string::npos) << ours.form;
  EXPECT_LE(ours.bits, plain.bits + 0.2);  // arrays begin at multiples of 64 bytes
  EXPECT_LT(ours.error, 0.9 * plain.error);
}

TEST(PatternRecipes, LoseLessThanALowRankAndOneOfFour) {
  // Rows of 4 of 32 patterns, and some of their own.
  const form::Matrix patterns = normal({32, 96}, 7), factors = normal({160, 4}, 8);
  form::Matrix w = normal({160, 96}, 9);
  for (uint64_t r = 0; r < 160; ++r) {
    for (float& v : w.row(r)) v *= 0.2f;
    for (uint64_t i = 0; i < 4; ++i) {
      const auto pattern = patterns.view().row((r * 5 + i * 7 + r * r) % 32);
      for (uint64_t c = 0; c < 96; ++c) w.row(r)[c] += factors.view().row(r)[i] * pattern[c];
    }
  }
  const MatrixBench bench(w, {});
  const MatrixOutcome ours = outcome(bench, "dsformer", {{"rank", "32"}, {"count", "4"}});
  EXPECT_EQ(ours.form, "sparse(4:32) * rank(32) * dense(f16)");
  const fit::Fitter low =
      fit::low_rank_fitter(form::parse("lowrank(18)"), {.by = fit::Weighing::kNothing});
  const MatrixOutcome rank = bench.of_fitter(low);
  EXPECT_LT(ours.bits, rank.bits);
  EXPECT_LT(ours.error, 0.7 * rank.error);
  EXPECT_LT(ours.error, 0.7 * nearest(bench, "sparse(1:3)").error);
  const MatrixOutcome eight =
      outcome(bench, "dsformer", {{"rank", "32"}, {"count", "4"}, {"bits", "8"}});
  EXPECT_LT(eight.bits, 0.8 * ours.bits);
  EXPECT_LT(eight.error, 1.2 * ours.error);
}

TEST(PaletteRecipes, RefuseWhatTheyCannotDo) {
  Plan plan;
  const auto refused = [&](const char* name, const char* key, const char* value) {
    EXPECT_THROW(apply(find_recipe(name), {{key, value}}, plan), Error) << name << key << value;
  };
  for (const char* bits : {"0", "9", "x", "", "3+"}) refused("edkm", "bits", bits);
  refused("edkm", "rate", "0");
  refused("edkm", "temperature", "nan");
  for (const char* d : {"0", "-1", "x", "", "0.1+"}) refused("dynamical-clustering", "distance", d);
  for (const char* dim : {"0", "17", "best"}) refused("lr2vq", "dim", dim);
  refused("lr2vq", "entries", "1");
  refused("lr2vq", "length", "1");
  for (const char* count : {"0", "97", "x", "8+"}) refused("dsformer", "count", count);
  refused("dsformer", "bits", "1");
  refused("dsformer", "rank", "0");
}

}  // namespace
}  // namespace pith::recipe
