// Every method for the matrices of a model, from its options to an archive that runs: on a model so
// small that sanitizers watch all of it.
#include <gtest/gtest.h>

#include <cmath>

#include "../weights/testing_tiny.h"
#include "pith/archive/reader.h"
#include "pith/recipe/registry.h"

namespace pith::recipe {
namespace {

using weights::testing::tiny;

class EveryRecipe : public ::testing::TestWithParam<std::string_view> {};

// Options that make long work short, of the recipes that have them.
Values quick(const Recipe& recipe) {
  Values values;
  for (const Option& o : recipe.options) {
    if (o.key == "generations") values.emplace(o.key, "1");
    if (o.key == "offspring") values.emplace(o.key, "4");
    if (o.key == "steps") values.emplace(o.key, "2");
    if (o.key == "tokens") values.emplace(o.key, "8");
    if (o.key == "states") values.emplace(o.key, "64");
    if (o.key == "rounds") values.emplace(o.key, "2");
    if (o.key == "steps") values.emplace(o.key, "4");
  }
  return values;
}

TEST_P(EveryRecipe, MakesAnArchiveOfWhatItFitted) {
  const Recipe& recipe = find_recipe(GetParam());
  Plan plan;
  apply(recipe, quick(recipe), plan);
  weights::CompressModelOptions options = weights::testing::tiny_options();
  options.candidates = plan.candidates;
  options.calibrated = plan.calibrated;
  options.allocation = plan.allocation;
  options.curvature = plan.curvature;
  options.refine = plan.refine;
  options.rules = plan.write.forms;
  options.rules.push_back(archive::lossless_rule("embed"));
  weights::ModelCompressor compressor(*tiny().model, tiny().inputs,
                                      weights::default_calibration_text(), std::move(options));
  weights::Limits limits;
  if (plan.candidates.size() > 1 && !plan.allocation.has_limit) limits.bits = 9.5;
  const weights::CompressedModel made = compressor.compress(limits);
  EXPECT_EQ(made.tensors.size(), 28u);
  for (const weights::PlannedTensor& t : made.plan.tensors) {
    EXPECT_TRUE(t.bits > 0 && std::isfinite(t.bits)) << t.name;
    EXPECT_TRUE(t.loss >= 0 && std::isfinite(t.loss)) << t.name;
  }
  if (plan.calibrated) {
    ASSERT_TRUE(made.measured);
    EXPECT_GT(made.measured->divergence, 0);
    EXPECT_TRUE(std::isfinite(made.measured->divergence));
  }
  archive::WriteOptions write;
  compressor.store(made, write);
  Bytes file;
  archive::write_archive(
      tiny().inputs, [&](ByteView b) { file.insert(file.end(), b.begin(), b.end()); }, write);
  const auto archive = archive::Archive::open_memory(file);
  size_t forms = 0;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const form::FormPtr form = archive.form(t);
    if (!form) continue;
    ++forms;
    const auto fitted = made.tensors.find(archive.tensors()[t].region.name);
    ASSERT_NE(fitted, made.tensors.end());
    EXPECT_EQ(form::decode(*form).values, form::decode(*fitted->second).values);
  }
  EXPECT_EQ(forms, 28u);
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> out;
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.needs_base) continue;
    Plan plan;
    apply(recipe, {}, plan);
    if (!plan.candidates.empty()) out.push_back(recipe.name);
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Names, EveryRecipe, ::testing::ValuesIn(names()), [](const auto& of) {
  std::string name(of.param);
  std::ranges::replace(name, '-', '_');
  return name;
});

}  // namespace
}  // namespace pith::recipe
