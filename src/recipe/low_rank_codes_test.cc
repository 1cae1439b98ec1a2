// Low ranks that are rounded, on the reference model.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <mutex>

#include "../model/attention_trace.h"
#include "pith/base/error.h"
#include "pith/budget/proxy_record.h"
#include "pith/fit/low_rank.h"
#include "testing_reference.h"

namespace pith::recipe {
namespace {

using testing::of_recipe;
using testing::Outcome;

// Attention of the last three layers.
constexpr std::string_view kOthers = "layers.[0-4]|mlp";

TEST(CaspQuality, QueriesAndKeysAreFactored) {
  const Outcome made = of_recipe("casp", {{"bits", "4"}}, kOthers);
  EXPECT_EQ(made.tensors.size(), 12u);
  for (const weights::PlannedTensor& t : made.tensors) {
    const bool factored =
        t.name.find("q_proj") != t.name.npos || t.name.find("k_proj") != t.name.npos;
    EXPECT_EQ(t.form.starts_with("lowrank("), factored) << t.name;
    EXPECT_NE(t.form.find("uniform(4, group=64, zero=true)"), t.form.npos) << t.name;
  }
}

TEST(CaspQuality, BitsThatAreSharedOutLoseLess) {
  const Outcome same = of_recipe("casp", {{"bits", "3"}}, "layers.[2-7]");
  const Outcome shared =
      of_recipe("casp", {}, "layers.[2-7]", {.bytes = static_cast<uint64_t>(same.bytes)});
  EXPECT_LE(shared.bytes, 1.001 * same.bytes);
  EXPECT_LT(shared.divergence, same.divergence);
}

// Of each layer, the share of the tokens that a query sees which together get less than a tenth of
// its attention.
std::vector<double> sparsities() {
  const model::LanguageModel& model = testing::reference().model;
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 256, .window = 256});
  std::vector<double> sum(model.config().layers), rows(sum.size());
  std::mutex lock;
  const auto each = [&](const model::TracedHead& head) {
    const std::lock_guard guard(lock);
    const uint64_t layer = head.index / model.config().kv_heads;
    for (uint64_t r = 0; r < head.weights.shape.rows; ++r) {
      const auto row = head.weights.view().row(r);
      const uint64_t seen = row.size() - head.weights.shape.rows + r + 1;
      std::vector<float> weights(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(seen));
      std::ranges::sort(weights);
      uint64_t few = 0;
      for (float rest = 0.1f; few < seen && (rest -= weights[few]) > 0;) ++few;
      sum[layer] += static_cast<double>(few) / static_cast<double>(seen);
      rows[layer] += 1;
    }
  };
  model::trace_heads(model, text.windows, {.context = 256, .texts = 1}, 2, each);
  for (size_t l = 0; l < sum.size(); ++l) sum[l] /= rows[l];
  return sum;
}

TEST(CaspQuality, ALowRankCostsMoreWhereAttentionIsSparser) {
  const std::vector<double> sparsity = sparsities();
  budget::ProxyRecord record;
  for (size_t l = 0; l < sparsity.size(); ++l) {
    const std::string others = fmt::format("mlp|v_proj|o_proj|layers.[^{}]", l);
    const fit::Fitter half = fit::low_rank_of_share(0.5, form::parse("dense(bf16)"));
    record.add("sparsity", sparsity[l], testing::of_fitter(half, others).divergence);
  }
  // Contradicted: the sparser, the more is lost (0.81); the first layer looks at all alike.
  EXPECT_GT(sparsity[5], 0.9);
  EXPECT_LT(sparsity[0], 0.2);
  EXPECT_GT(record.qualities().at(0).spearman, 0.5);
}

TEST(Casp, RefusesWhatItCannotDo) {
  Plan plan;
  const Recipe& recipe = find_recipe("casp");
  for (const char* bits : {"", "0", "9", "2+", "x"}) {
    EXPECT_THROW(apply(recipe, {{"bits", bits}}, plan), Error) << bits;
  }
  EXPECT_THROW(apply(recipe, {{"factored", "q+up"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"keep", "75"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"keep", "120%"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"group", "0"}}, plan), Error);
  EXPECT_THROW(apply(recipe, {{"damping", "-1"}}, plan), Error);
}

}  // namespace
}  // namespace pith::recipe
