#include "pith/recipe/registry.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "pith/recipe/cache_recipes.h"
#include "pith/recipe/studies.h"
#include "recipes.h"

namespace pith::recipe {

std::span<const Recipe> all_recipes() {
  static const std::vector<Recipe> recipes = {adaquant(),
                                              armor(),
                                              awq(),
                                              casp(),
                                              checkpoint_prediction(),
                                              comcat(),
                                              dobi_svd(),
                                              dsformer(),
                                              dynamical_clustering(),
                                              edkm(),
                                              entrodrop(),
                                              eora(),
                                              evopress(),
                                              fwsvd(),
                                              gptq(),
                                              gqsa(),
                                              hawq(),
                                              l_greco(),
                                              late_attention(),
                                              llm_rom(),
                                              llm_surgeon(),
                                              lord(),
                                              lr2vq(),
                                              mc_moe(),
                                              modegpt(),
                                              mope_clip(),
                                              nowag(),
                                              nowag_vq(),
                                              obc(),
                                              obert(),
                                              pv_tuning(),
                                              pvq(),
                                              q_vlm(),
                                              qtip(),
                                              quest(),
                                              rtn(),
                                              sparsegpt(),
                                              spqr(),
                                              stat_prune(),
                                              upop(),
                                              wanda(),
                                              ziplm(),
                                              zipnn()};
  return recipes;
}

namespace {

// Letters that are put in, left out or replaced to make one of the other.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t before = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = before + (a[i] == b[j] ? 0 : 1);
      before = std::exchange(row[j + 1], std::min({row[j] + 1, row[j + 1] + 1, replaced}));
    }
  }
  return row.back();
}

// Names that may have been meant; none where nothing is like it.
std::vector<std::string_view> nearest_names(std::string_view name,
                                            const std::vector<std::string_view>& names) {
  std::vector<std::string_view> out;
  size_t least = std::max<size_t>(2, name.size() / 3);
  for (const std::string_view other : names) {
    const size_t n = edits(name, other);
    if (n < least) out.clear();
    least = std::min(least, n);
    if (n == least) out.push_back(other);
  }
  return out;
}

}  // namespace

const Recipe& find_recipe(std::string_view name_or_id) {
  std::vector<std::string_view> names;
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.name == name_or_id || recipe.id == name_or_id) return recipe;
    names.push_back(recipe.name);
  }
  if (const CacheRecipe* cache = find_cache_recipe(name_or_id)) {
    fail(ErrorKind::kUsage, "{} is for caches of keys and values, not for files: {} (see: {})",
         name_or_id, cache->of_chunks ? "it goes with --kv-coding" : "it goes with --kv",
         cache->example());
  }
  if (const Study* study = find_study(name_or_id)) {
    fail(ErrorKind::kUsage, "{} is a study and writes no archive (see: {})", name_or_id,
         study->command);
  }
  const std::vector<std::string_view> near = nearest_names(name_or_id, names);
  if (near.empty()) {
    fail(ErrorKind::kUsage, "there is no recipe '{}' (there are: {})", name_or_id,
         fmt::join(names, ", "));
  }
  fail(ErrorKind::kUsage, "there is no recipe '{}'; nearest by name: {} (all: pith recipes)",
       name_or_id, fmt::join(near, ", "));
}

std::vector<std::string_view> reducing_recipes() {
  std::vector<std::string_view> out;
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.needs_base) continue;
    Plan plan;
    apply(recipe, {}, plan);
    if (plan.reduce) out.push_back(recipe.name);
  }
  return out;
}

void add_value(Values& values, std::string_view text) {
  const size_t equal = text.find('=');
  if (equal == std::string_view::npos || equal == 0) {
    fail(ErrorKind::kUsage, "'{}' is not a recipe option (write key=value)", text);
  }
  values[std::string(text.substr(0, equal))] = text.substr(equal + 1);
}

void apply(const Recipe& recipe, Values values, Plan& plan) {
  for (const auto& entry : values) {
    const std::string& key = entry.first;
    const auto same = [&](const Option& option) { return option.key == key; };
    if (std::ranges::none_of(recipe.options, same)) {
      fail(ErrorKind::kUsage, "recipe {} has no option '{}' (see: pith recipes {})", recipe.name,
           key, recipe.name);
    }
  }
  if (recipe.needs_base && !plan.write.base) {
    fail(ErrorKind::kUsage, "recipe {} codes against an earlier state: name it with --base",
         recipe.name);
  }
  for (const Option& option : recipe.options) {
    values.try_emplace(std::string(option.key), option.default_value);
  }
  recipe.apply(values, plan);
}

weights::CompressModelOptions model_options(const Plan& plan) {
  weights::CompressModelOptions options;
  options.candidates = plan.candidates;
  options.calibrated = plan.calibrated;
  options.allocation = plan.allocation;
  options.curvature = plan.curvature;
  options.refine = plan.refine;
  options.leave_out = plan.leave_out;
  options.rules = plan.write.forms;
  return options;
}

lossless::Level parse_level(std::string_view text) {
  for (const auto level :
       {lossless::Level::kFast, lossless::Level::kDefault, lossless::Level::kMax}) {
    if (text == level_name(level)) return level;
  }
  fail(ErrorKind::kUsage, "'{}' is not a level (fast, default, max)", text);
}

std::string_view level_name(lossless::Level level) {
  switch (level) {
    case lossless::Level::kFast:
      return "fast";
    case lossless::Level::kDefault:
      return "default";
    case lossless::Level::kMax:
      break;
  }
  return "max";
}

}  // namespace pith::recipe
