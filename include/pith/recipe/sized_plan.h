// One recipe at whatever size is asked for, so that methods can be compared at equal bytes.
//
//   SizedPlan sized = at_sizes(find_recipe("gptq"));
//   ModelCompressor compressor(model, inputs, text, model_options(sized.plan));
//   compressor.plan({.bytes = 3'000'000});
//   sized.setting->text                             // "bits=3 group=64", which has that size
//
// Of options that set a size (Recipe::sizes) every combination is a setting. Where a setting is one
// form, all matrices get that of one setting: of those within the limit the one of least expected
// divergence, or where only that is limited the smallest; the recipe with its values makes the
// archive. Where it is several forms which the recipe shares out, the limit is the recipe's; of
// several such settings the one that comes nearest to the limit counts.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pith/recipe/registry.h"

namespace pith::recipe {

struct Setting {
  Values values;     // all that is to be said to the recipe
  std::string text;  // "bits=3 group=64": those that set the size
};

// Every combination of sizes, with what is given in place of these; at least one. Those that the
// recipe refuses are among them.
std::vector<Setting> settings_of(const Recipe& recipe, const Values& given = {});

struct SizedPlan {
  Plan plan;  // for any number of sizes, one after the other; it shares `setting`
  // What was chosen last; the same for all sizes where the limit alone decides.
  std::shared_ptr<Setting> setting;
  size_t settings = 0;    // that are tried
  bool one_form = false;  // each is one form for all matrices
};

// Throws ErrorKind::kUsage, with the recipe's own words, where no setting applies, and for recipes
// that are not for the matrices of a model.
SizedPlan at_sizes(const Recipe& recipe, const Values& given = {});

// Those that have sizes: what at_sizes() takes, and what takes parts out of a model, whose shares
// are settings before Pith's default makes the rest as small as asked for.
std::vector<std::string_view> sized_recipes();

}  // namespace pith::recipe
