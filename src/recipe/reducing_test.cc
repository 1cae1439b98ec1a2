// Methods that take parts, heads or neurons out, each from its options to an archive that runs, on
// a model so small that sanitizers watch all of it.
#include <gtest/gtest.h>

#include "../weights/testing_reference.h"
#include "../weights/testing_tiny.h"
#include "pith/audit/perplexity.h"
#include "pith/base/error.h"
#include "pith/model/session.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using weights::testing::tiny;

weights::ReducedModel reduced(std::string_view recipe, Values values) {
  Plan plan;
  apply(find_recipe(recipe), std::move(values), plan);
  EXPECT_TRUE(plan.reduce);
  const std::filesystem::path folder = tiny().folder.path();
  return weights::reduced_model(
      folder, archive::expand_inputs(std::span(&folder, 1)), weights::default_calibration_text(),
      plan.reduce, {.size = {.tokens = 256, .window = 64}, .threads = 2, .progress = {}});
}

const model::DecoderConfig& config_of(const weights::ReducedModel& m) {
  return m.changed.model.config();
}

TEST(Reducing, EveryRecipeMakesAnArchiveThatRuns) {
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.needs_base) continue;
    Plan plan;
    apply(recipe, {}, plan);
    if (!plan.reduce) continue;
    Values values;
    if (recipe.name == "ziplm") values = {{"speedup", "1.05"}, {"trials", "2"}, {"steps", "3"}};
    const weights::ReducedModel made = reduced(recipe.name, values);
    EXPECT_LT(made.weights, made.changed.weights) << recipe.name;
    const model::testing::Folder out;
    const auto path = out.path() / "m.pith";
    archive::write_archive(made.changed.inputs, path, {.threads = 2});
    EXPECT_EQ(model::testing::logits_of(model::load_model(path)),
              model::testing::logits_of(made.changed.model))
        << recipe.name;
  }
}

TEST(Reducing, PartsThatAreNamedGo) {
  const auto late = reduced("late-attention", {{"count", "3"}});
  for (uint32_t l = 0; l < 4; ++l) EXPECT_EQ(config_of(late).has_attention(l), l == 0);
  const auto first =
      reduced("late-attention", {{"of", "feed-forward"}, {"which", "first"}, {"count", "1"}});
  for (uint32_t l = 0; l < 4; ++l) EXPECT_EQ(config_of(first).has_feed_forward(l), l != 0);
  const auto layers = reduced("entrodrop", {{"of", "layers"}, {"count", "2"}});
  uint32_t gone = 0;
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_EQ(config_of(layers).has_attention(l), config_of(layers).has_feed_forward(l));
    gone += !config_of(layers).has_attention(l);
  }
  EXPECT_EQ(gone, 2u);
}

TEST(Reducing, SharesAreThoseOfTheOptions) {
  const auto made = reduced("stat-prune", {{"units", "25%"}, {"groups", "50%"}});
  for (uint32_t l = 0; l < 4; ++l) {
    EXPECT_EQ(config_of(made).sizes(l), (model::LayerSizes{2, 1, 72}));
  }
  const auto uneven = reduced("modegpt", {{"units", "40%"}, {"temperature", "0.05"}});
  uint64_t units = 0;
  for (uint32_t l = 0; l < 4; ++l) units += config_of(uneven).sizes(l).feed_forward;
  EXPECT_NEAR(static_cast<double>(units), 4 * 96 * 0.6, 2);
}

TEST(Reducing, WrongOptionsAreRefused) {
  const auto refused = [](std::string_view recipe, Values values, std::string_view key) {
    try {
      reduced(recipe, std::move(values));
      ADD_FAILURE() << recipe << " took it";
    } catch (const Error& e) {
      EXPECT_NE(std::string_view(e.what()).find(key), std::string_view::npos) << e.what();
    }
  };
  refused("late-attention", {{"count", "5"}}, "count");
  refused("late-attention", {{"of", "norms"}}, "of");
  refused("entrodrop", {{"bins", "1"}}, "bins");
  refused("stat-prune", {{"units", "25"}}, "units");
  refused("stat-prune", {{"select", "best"}}, "select");
  refused("modegpt", {{"temperature", "0"}}, "temperature");
  refused("ziplm", {{"speedup", "0.5"}}, "speedup");
  refused("ziplm", {{"speedup", "900"}, {"steps", "2"}}, "speedup");
}

// Of the reference model, on text that nothing was fitted to.
double divergence_of(std::string_view recipe, Values values) {
  Plan plan;
  apply(find_recipe(recipe), std::move(values), plan);
  const model::LanguageModel& model = weights::testing::reference().model;
  const auto source = model::open_weights(weights::testing::reference().folder);
  const weights::CalibrationText text = weights::calibration_text(
      model, weights::default_calibration_text(), {.tokens = 2048, .window = 64});
  const weights::Reducing reducing{.source = *source, .model = model, .text = text, .threads = 2};
  const model::LanguageModel small =
      model::make_model(model::ReducedWeights(*source, plan.reduce(reducing)));
  model::Session before(model, 65, 2), after(small, 65, 2);
  const audit::LogitSource was = audit::logits_of(before), is = audit::logits_of(after);
  return audit::evaluate(is, text.held_out,
                         {.context = 64, .max_windows = 8, .changed = 0, .threads = 2}, &was)
      .divergence->kl.mean;
}

// What is left makes up for much of what went.
TEST(ReducingQuality, PivotsWithACorrectionLoseLessThanMagnitude) {
  EXPECT_GT(
      divergence_of("stat-prune", {{"units", "25%"}, {"fold", "no"}, {"select", "magnitude"}}),
      1.5 * divergence_of("stat-prune", {{"units", "25%"}}));
}

}  // namespace
}  // namespace pith::recipe
