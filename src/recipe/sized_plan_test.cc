// Recipes at sizes that are asked for, on a model so small that sanitizers watch all of it.
#include "pith/recipe/sized_plan.h"

#include <gtest/gtest.h>

#include <set>

#include "../weights/testing_tiny.h"
#include "pith/base/error.h"

namespace pith::recipe {
namespace {

using weights::testing::tiny;

std::unique_ptr<weights::ModelCompressor> compressor_of(const SizedPlan& sized) {
  weights::CompressModelOptions options = model_options(sized.plan);
  const weights::CompressModelOptions little = weights::testing::tiny_options();
  options.size = little.size;
  options.gradient_tokens = little.gradient_tokens;
  options.threads = little.threads;
  options.rules.push_back(archive::lossless_rule("embed"));
  return std::make_unique<weights::ModelCompressor>(
      *tiny().model, tiny().inputs, weights::default_calibration_text(), std::move(options));
}

double bits(const weights::CompressedModel& made) {
  return 8 * made.plan.bytes / static_cast<double>(made.plan.weights);
}

TEST(SizedPlan, EveryRecipeForMatricesHasSizes) {
  const std::vector<std::string_view> sized = sized_recipes();
  for (const Recipe& r : all_recipes()) {
    if (r.needs_base) continue;
    Plan plan;
    apply(r, {}, plan);
    const bool has_sizes = std::ranges::find(sized, r.name) != sized.end();
    // How fast a model becomes is no size.
    EXPECT_EQ(!plan.candidates.empty() || (plan.reduce && r.name != "ziplm"), has_sizes) << r.name;
  }
  for (const std::string_view name : sized) {
    const Recipe& r = find_recipe(name);
    for (const SizeOption& size : r.sizes) {
      EXPECT_NE(std::ranges::find(r.options, size.key, &Option::key), r.options.end()) << name;
    }
    Plan alone;
    apply(r, {}, alone);
    if (alone.reduce) {
      for (const Setting& s : settings_of(r)) apply(r, s.values, alone);
      continue;
    }
    const SizedPlan plan = at_sizes(r);
    EXPECT_GE(plan.plan.candidates.size(), 3u) << name;
    std::set<std::string> names;
    for (const weights::FormCandidate& c : plan.plan.candidates) names.insert(c.name);
    EXPECT_EQ(names.size(), plan.plan.candidates.size()) << name;
  }
}

TEST(SizedPlan, SettingsAreAllCombinationsOfWhatIsNotGiven) {
  Recipe r;
  r.sizes = {{"a", {"1", "2"}}, {"b", {"x", "y", "z"}}};
  const std::vector<Setting> all = settings_of(r);
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0].text, "a=1 b=x");
  EXPECT_EQ(all[5].text, "a=2 b=z");
  EXPECT_EQ(all[5].values, (Values{{"a", "2"}, {"b", "z"}}));
  const std::vector<Setting> some = settings_of(r, {{"a", "7"}, {"c", "on"}});
  ASSERT_EQ(some.size(), 3u);
  EXPECT_EQ(some[1].text, "b=y");
  EXPECT_EQ(some[1].values, (Values{{"a", "7"}, {"b", "y"}, {"c", "on"}}));
  EXPECT_EQ(settings_of(r, {{"a", "1"}, {"b", "x"}}).size(), 1u);
}

// Archives of at most the size, nearly as large, which lose less the larger they are; and what was
// chosen is the recipe with that setting.
TEST(SizedPlan, OneFormForAllWithinTheLimit) {
  const SizedPlan sized = at_sizes(find_recipe("gptq"), {{"group", "32"}, {"order", "activation"}});
  EXPECT_EQ(sized.settings, 6u);
  const auto compressor = compressor_of(sized);
  const auto smaller = compressor->compress({.bits = 9.5});
  const Setting chosen = *sized.setting;
  const auto larger = compressor->compress({.bits = 10});
  EXPECT_NE(chosen.text, sized.setting->text);
  EXPECT_TRUE(sized.one_form);
  EXPECT_LE(bits(smaller), 9.5);
  EXPECT_LE(bits(larger), 10);
  EXPECT_GT(bits(larger), bits(smaller));
  EXPECT_LT(larger.measured->divergence, smaller.measured->divergence);
  std::set<std::string> forms;
  for (const weights::PlannedTensor& t : smaller.plan.tensors) forms.insert(t.form);
  EXPECT_EQ(forms.size(), 1u);

  Plan plan;
  apply(find_recipe("gptq"), chosen.values, plan);
  const auto alone = compressor_of({plan, nullptr, 1, true})->compress({});
  for (const auto& [name, form] : smaller.tensors) {
    EXPECT_EQ(form::write(*form), form::write(*alone.tensors.at(name))) << name;
  }
  try {
    compressor->compress({.bits = 8.2});
    FAIL() << "no setting is as small";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kLimit) << e.what();
  }
}

// Where all of its size is said there is nothing to turn: what it comes to is within the limit, or
// it is refused.
TEST(SizedPlan, OneSettingIsHeldAgainstTheLimit) {
  const SizedPlan sized = at_sizes(find_recipe("rtn"), {{"bits", "4"}, {"group", "32"}});
  EXPECT_EQ(sized.settings, 1u);
  const auto compressor = compressor_of(sized);
  EXPECT_LE(bits(compressor->compress({.bits = 10})), 10);
  EXPECT_THROW(compressor->compress({.bits = 8}), Error);
}

// Of a limit on quality the smallest that is expected to meet it.
TEST(SizedPlan, TheSmallestThatLosesNoMore) {
  const SizedPlan sized = at_sizes(find_recipe("gptq"), {{"group", "32"}});
  const auto compressor = compressor_of(sized);
  const weights::ModelPlan fine = compressor->plan({.divergence = 0.02});
  const std::string of_fine = sized.setting->text;
  const weights::ModelPlan rough = compressor->plan({.divergence = 0.5});
  EXPECT_LE(fine.divergence, 0.02);
  EXPECT_GT(rough.divergence, fine.divergence);
  EXPECT_LT(rough.bytes, fine.bytes);
  EXPECT_NE(sized.setting->text, of_fine);
  EXPECT_NE(rough.note.find(sized.setting->text), std::string::npos) << rough.note;
  EXPECT_THROW(compressor->plan({.divergence = 1e-9}), Error);
}

TEST(SizedPlan, SettingsOfOneChoiceComeNearTheLimit) {
  const SizedPlan sized = at_sizes(find_recipe("l-greco"));
  EXPECT_GT(sized.settings, 10u);
  const auto compressor = compressor_of(sized);
  const auto made = compressor->compress({.bits = 9.6});
  EXPECT_NE(sized.setting->text.find("reference="), std::string::npos);
  EXPECT_FALSE(sized.one_form);
  EXPECT_LE(bits(made), 9.6);
  EXPECT_GT(bits(made), 9.4);
}

TEST(SizedPlan, RefusesWhatHasNoSize) {
  EXPECT_THROW(at_sizes(find_recipe("zipnn")), Error);
  EXPECT_THROW(at_sizes(find_recipe("gptq"), {{"unknown", "1"}}), Error);
  EXPECT_THROW(at_sizes(find_recipe("gptq"), {{"bits", "99"}}), Error);
}

}  // namespace
}  // namespace pith::recipe
