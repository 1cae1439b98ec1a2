#include "pith/recipe/network_plan.h"

#include <algorithm>
#include <charconv>

#include "pith/base/error.h"
#include "pith/recipe/sized_plan.h"
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

using weights::Choosing;
using weights::Proxy;

// In a language model's terms, as far as a network has these.
network::ChooseForms as_layers(const weights::Allocation& allocation) {
  return [allocation](const network::LayerChoosing& given) {
    budget::Problem problem = given.problem;
    if (allocation.proxy == Proxy::kSquared) {
      for (size_t i = 0; i < problem.parts.size(); ++i) {
        auto& candidates = problem.parts[i].candidates;
        for (size_t j = 0; j < candidates.size(); ++j) candidates[j].loss = given.squared(i, j);
      }
    }
    Choosing c{
        .problem = problem, .goal = given.goal, .loss = [&](Proxy proxy, size_t i, size_t j) {
          return proxy == Proxy::kSquared ? given.squared(i, j)
                                          : given.problem.parts.at(i).candidates.at(j).loss;
        }};
    c.windows = given.outputs ? 1 : 0;
    c.divergence = given.outputs;
    c.layers.resize(problem.parts.size());
    c.experts.resize(problem.parts.size());
    c.threads = given.threads;
    c.progress = given.progress;
    c.note = given.note;
    return allocation.choose(c);
  };
}

// How much two recipes have in common.
int likeness(const Place& a, const Place& b) {
  int like = 0;
  for (const Act act : a.acts) like += b.does(act) ? 4 : -1;
  for (const Act act : b.acts) like -= a.does(act) ? 0 : 2;
  like += a.patterns == b.patterns ? 2 : 0;
  like += a.criterion == b.criterion ? 1 : 0;
  like += a.moment == b.moment ? 1 : 0;
  return like;
}

const Recipe& nearest(const Place& place, bool without_inputs) {
  const Recipe* best = nullptr;
  // Of equals the one with most sizes.
  const auto worth = [&](const Recipe& r) {
    return std::pair(likeness(place, r.place), settings_of(r).size());
  };
  for (const Recipe& r : all_recipes()) {
    if (!is_for_networks(r) || (without_inputs && r.place.data != Data::kNone)) continue;
    if (!best || worth(r) > worth(*best)) best = &r;
  }
  return *best;
}

}  // namespace

bool is_for_networks(const Recipe& recipe) {
  if (!is_for_models(recipe)) return false;
  Plan plan;
  apply(recipe, {}, plan);
  if (plan.join_layers) return true;
  const Needs& n = recipe.needs;
  const bool forms = !plan.candidates.empty() && !plan.refine && !plan.reduce && !plan.leave_out;
  const bool only_models = n.dense || n.experts || n.safetensors ||
                           recipe.place.data == Data::kGradients || plan.curvature.samples > 0 ||
                           plan.curvature.output_moments;
  return forms && recipe.networks.value_or(!only_models);
}

std::vector<std::string_view> network_recipes() {
  std::vector<std::string_view> out;
  for (const Recipe& r : all_recipes()) {
    if (is_for_networks(r)) out.push_back(r.name);
  }
  return out;
}

void require_network(const Recipe* recipe, const Plan& plan, const std::filesystem::path& path,
                     bool has_inputs) {
  if (!recipe) return;
  if (!is_for_networks(*recipe)) {
    fail(ErrorKind::kUsage,
         "{}: recipe {} is for language models, and this is a network of ONNX; {} is the nearest "
         "that fits it",
         path.string(), recipe->name, nearest(recipe->place, !has_inputs).name);
  }
  if (plan.calibrated && !has_inputs) {
    fail(ErrorKind::kUsage,
         "{}: recipe {} goes by what the layers multiply: give some inputs of the network with "
         "--inputs FILE.npz; {} is the nearest that needs none",
         path.string(), recipe->name, nearest(recipe->place, true).name);
  }
}

network::CompressNetworkOptions layer_options(const Plan& plan) {
  network::CompressNetworkOptions options;
  options.join = plan.join_layers;
  options.has_limit = plan.allocation.has_limit;
  if (plan.allocation.choose) options.choose = as_layers(plan.allocation);
  for (const weights::FormCandidate& c : plan.candidates) {
    options.candidates.push_back({c.name, c.fitter, c.trial, c.check});
  }
  return options;
}

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
