#include "pith/recipe/network_plan.h"

#include <charconv>

#include "pith/base/error.h"
#include "values.h"

namespace pith::recipe {
namespace {

int bits_of(std::string_view text) {
  int bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  if (error != std::errc() || end != text.data() + text.size() || bits < 2 || bits > 8) {
    fail(ErrorKind::kUsage, "levels: '{}' is no number of bits from 2 to 8", text);
  }
  return bits;
}

}  // namespace

network::MixedBitsOptions network_options(std::string_view name_or_id, Values values) {
  const Recipe& recipe = find_recipe(name_or_id);
  if (recipe.name != "hawq-v3") {
    fail(ErrorKind::kUsage, "{} is no recipe for networks of convolutions", recipe.name);
  }
  Plan plan;  // refuses what the recipe does not have
  apply(recipe, values, plan);
  for (const Option& o : recipe.options) values.try_emplace(std::string(o.key), o.default_value);
  network::MixedBitsOptions options;
  options.levels.clear();
  for (const std::string_view text : list(values, "levels")) {
    options.levels.push_back(bits_of(text));
  }
  return options;
}

}  // namespace pith::recipe
