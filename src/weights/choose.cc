#include "choose.h"

#include <algorithm>
#include <map>
#include <string>

#include "gated_model.h"
#include "linears.h"
#include "pith/base/error.h"
#include "stitched_model.h"

namespace pith::weights {
namespace {

std::vector<std::optional<size_t>> layers_of(const budget::Problem& problem,
                                             const model::LanguageModel& model) {
  std::map<std::string, size_t, std::less<>> by_name;
  const auto& layers = model.weights().layers;
  for (size_t l = 0; l < layers.size(); ++l) {
    for (const model::Linear* linear : linears(layers[l])) by_name.emplace(linear->name, l);
  }
  std::vector<std::optional<size_t>> out;
  for (const budget::Part& part : problem.parts) {
    const auto found = by_name.find(part.name);
    out.push_back(found == by_name.end() ? std::nullopt : std::optional(found->second));
  }
  return out;
}

std::vector<std::optional<size_t>> experts_of(const budget::Problem& problem,
                                              const model::LanguageModel& model) {
  std::map<std::string, size_t, std::less<>> by_name;
  for (const model::DecoderLayer& layer : model.weights().layers) {
    if (!layer.experts) continue;
    const auto& experts = layer.experts->experts;
    for (size_t e = 0; e < experts.size(); ++e) {
      for (const model::Linear* l : {&experts[e].gate, &experts[e].up, &experts[e].down}) {
        by_name.emplace(l->name, e);
      }
    }
  }
  std::vector<std::optional<size_t>> out;
  for (const budget::Part& part : problem.parts) {
    const auto found = by_name.find(part.name);
    out.push_back(found == by_name.end() ? std::nullopt : std::optional(found->second));
  }
  return out;
}

}  // namespace

Choice choose(const CandidateTable& table, const Allocation& allocation, const budget::Goal& goal,
              const ChooseContext& context) {
  const budget::Problem& problem = table.problem();
  const auto on_loss = [](const budget::Limit& limit) { return limit.of == budget::kLoss; };
  if (allocation.proxy != Proxy::kDivergence && std::ranges::any_of(goal.within, on_loss)) {
    fail(ErrorKind::kUsage,
         "this method goes by the {}, which says nothing of divergence or perplexity: it takes "
         "limits on bytes and time",
         name(allocation.proxy));
  }
  Choice choice;
  const auto take = [&](std::string_view note) { choice.note = note; };
  if (!allocation.choose) {
    budget::Solution s = budget::solve(problem, goal);
    if (!s.optimal()) take(s.note);
    choice.chosen = std::move(s.chosen);
    return choice;
  }
  Choosing c{.problem = problem, .goal = goal, .loss = [&](Proxy proxy, size_t i, size_t j) {
               return table.loss(proxy, i, j);
             }};
  c.layers = layers_of(problem, context.model);
  c.experts = experts_of(problem, context.model);
  if (context.statistics) c.entropies = context.statistics->entropies;
  c.threads = context.threads;
  c.progress = context.progress;
  c.note = take;
  std::map<std::string, size_t, std::less<>> part_of;
  for (size_t i = 0; i < problem.parts.size(); ++i) part_of.emplace(problem.parts[i].name, i);
  const auto forms = [&](std::span<const size_t> chosen) {
    return [&table, &part_of, chosen](std::string_view name) -> form::FormPtr {
      const auto part = part_of.find(name);
      if (part == part_of.end()) return nullptr;
      const size_t i = part->second, j = chosen[i];
      return j < table.problem().parts[i].candidates.size() ? table.form(i, j) : nullptr;
    };
  };
  std::optional<StitchedModel> stitched;
  std::optional<GatedModel> gated;
  c.windows = context.text.count();
  if (c.windows > 0) {
    const auto model = [&]() -> const GatedModel& {
      if (gated) return *gated;
      std::vector<std::string> names;
      for (const budget::Part& part : problem.parts) names.push_back(part.name);
      return gated.emplace(context.model, context.text, names, context.threads);
    };
    c.routing = [&context, all = c.windows] {
      return study_routing(context.model, context.text, all, context.threads);
    };
    c.directions = [model](size_t part) { return model().directions(part); };
    c.gated_loss = [model, all = c.windows](const budget::Gates& gates, uint64_t windows,
                                            uint64_t round, GatedModel::Gradient& gradient) {
      const uint64_t n = std::clamp<uint64_t>(windows, 1, all);
      return model().loss(gates, round * n % all, n, gradient);
    };
  }
  if (allocation.keep && c.windows > 0) {
    stitched.emplace(context.model, context.text, context.threads);
    c.divergence = [&](std::span<const size_t> chosen, uint64_t windows, uint64_t round) {
      const uint64_t all = c.windows, n = std::clamp<uint64_t>(windows, 1, all);
      return stitched->divergence(forms(chosen), round * n % all, n);
    };
    c.stream_error = [&](size_t first, size_t last, std::span<const size_t> chosen,
                         uint64_t windows) {
      return stitched->stream_error(forms(chosen), first, last,
                                    std::clamp<uint64_t>(windows, 1, c.windows));
    };
  }
  choice.chosen = allocation.choose(c);
  if (!budget::meets(problem, budget::totals(problem, choice.chosen), goal.within)) {
    fail(ErrorKind::kUsage, "the forms that were chosen are beyond the limits");
  }
  return choice;
}

}  // namespace pith::weights
