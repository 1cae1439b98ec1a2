#include "pith/recipe/sized_plan.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "pith/base/error.h"
#include "pith/budget/problem.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using weights::FormCandidate;
using Chosen = std::vector<size_t>;

double most_of(const Choosing& c, std::string_view what) {
  double most = std::numeric_limits<double>::infinity();
  for (const budget::Limit& limit : c.goal.within) {
    if (limit.of == what) most = std::min(most, limit.most);
  }
  return most;
}

double room(const Choosing& c) { return most_of(c, "bytes"); }

double bytes_of(const Choosing& c, const Chosen& chosen) {
  return budget::totals(c.problem, chosen).of(c.problem, "bytes");
}

[[noreturn]] void refuse(const Choosing& c, double smallest) {
  if (smallest <= room(c)) {
    fail(ErrorKind::kLimit,
         "none of its settings is expected to lose as little as {:g} nats a token",
         most_of(c, budget::kLoss));
  }
  fail(ErrorKind::kLimit,
       "the smallest of its settings takes {:.0f} bytes for the matrices, {:.0f} are left for them",
       smallest, room(c));
}

// How large a form becomes hardly depends on how the inputs go together, and to find out without
// that is far quicker.
fit::Fitter by_importance(fit::Fitter fitter) {
  return [fitter = std::move(fitter)](const fit::Task& task) {
    if (task.inputs.kind() != fit::Metric::Kind::kSecondMoments) return fitter(task);
    std::vector<double> importance(task.weights.shape.cols);
    for (uint64_t c = 0; c < importance.size(); ++c) importance[c] = task.inputs.importance(c);
    const fit::Metric diagonal = fit::Metric::diagonal(std::move(importance));
    const fit::Task alone{task.name,    task.weights,        diagonal,      task.outputs,
                          task.threads, task.output_moments, task.curvature};
    try {
      return fitter(alone);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kUsage) throw;
    }
    return fitter(task);  // it needs more than that
  };
}

// All parts' candidates of this name.
std::optional<Chosen> everywhere(const budget::Problem& problem, std::string_view name) {
  Chosen chosen;
  for (const budget::Part& part : problem.parts) {
    const auto found = std::ranges::find(part.candidates, name, &budget::Candidate::name);
    if (found == part.candidates.end()) return {};
    chosen.push_back(static_cast<size_t>(found - part.candidates.begin()));
  }
  return chosen;
}

// Of settings that are one form each.
weights::Choose one_for_all(std::vector<Setting> settings, std::shared_ptr<Setting> setting) {
  return [settings = std::move(settings), setting = std::move(setting)](const Choosing& c) {
    std::optional<Chosen> best;
    const bool by_bytes = c.goal.least == "bytes";
    std::pair<double, double> least;
    double smallest = std::numeric_limits<double>::infinity();
    for (const Setting& one : settings) {
      std::optional<Chosen> chosen = everywhere(c.problem, one.text);
      if (!chosen) continue;
      const double bytes = bytes_of(c, *chosen);
      smallest = std::min(smallest, bytes);
      if (bytes > room(c)) continue;
      const double loss = budget::totals(c.problem, *chosen).loss;
      if (loss > most_of(c, budget::kLoss)) continue;
      const auto worth = by_bytes ? std::pair(bytes, loss) : std::pair(loss, bytes);
      if (best && worth >= least) continue;
      best = std::move(chosen);
      least = worth;
      *setting = one;
    }
    if (!best) refuse(c, smallest);
    if (settings.size() > 1)
      c.note(fmt::format("of {} settings: {}", settings.size(), setting->text));
    return std::move(*best);
  };
}

// Of settings that choose among the same forms.
weights::Choose nearest_to_limit(std::vector<std::pair<Setting, weights::Choose>> settings,
                                 std::shared_ptr<Setting> setting) {
  return [settings = std::move(settings), setting = std::move(setting)](const Choosing& c) {
    std::optional<Chosen> best;
    double most = 0;
    std::optional<Error> refusal;
    for (const auto& entry : settings) {
      try {
        Chosen chosen = entry.second(c);
        const double bytes = bytes_of(c, chosen);
        if (bytes > room(c) || (best && bytes <= most)) continue;
        best = std::move(chosen);
        most = bytes;
        *setting = entry.first;
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kLimit) throw;
        refusal = e;
      }
    }
    if (!best && refusal) throw *refusal;
    if (!best) refuse(c, most);
    return std::move(*best);
  };
}

struct Applied {
  Setting setting;
  Plan plan;
};

bool same_forms(const Plan& a, const Plan& b) {
  return std::ranges::equal(a.candidates, b.candidates, {}, &FormCandidate::name,
                            &FormCandidate::name);
}

std::vector<Applied> applied_settings(const Recipe& recipe, const Values& given) {
  std::vector<Applied> out;
  std::optional<Error> refusal;
  for (const Setting& s : settings_of(recipe, given)) {
    try {
      Applied applied{s, {}};
      apply(recipe, s.values, applied.plan);
      out.push_back(std::move(applied));
    } catch (const Error& e) {
      refusal = e;
    }
  }
  if (out.empty() && refusal) throw *refusal;
  return out;
}

}  // namespace

std::vector<Setting> settings_of(const Recipe& recipe, const Values& given) {
  std::vector<Setting> out = {{given, ""}};
  for (const SizeOption& option : recipe.sizes) {
    if (given.contains(option.key)) continue;
    std::vector<Setting> more;
    for (const Setting& s : out) {
      for (const std::string_view value : option.values) {
        Setting& next = more.emplace_back(s);
        next.values[std::string(option.key)] = value;
        next.text += fmt::format("{}{}={}", s.text.empty() ? "" : " ", option.key, value);
      }
    }
    out = std::move(more);
  }
  return out;
}

SizedPlan at_sizes(const Recipe& recipe, const Values& given) {
  std::vector<Applied> settings = applied_settings(recipe, given);
  if (settings[0].plan.candidates.empty()) {
    fail(ErrorKind::kUsage, "recipe {} is not one for the matrices of a model", recipe.name);
  }
  const auto is_one_form = [](const Applied& a) { return a.plan.candidates.size() == 1; };
  SizedPlan out{settings[0].plan, std::make_shared<Setting>(settings[0].setting), settings.size(),
                std::ranges::all_of(settings, is_one_form)};
  if (out.one_form) {
    out.plan.candidates.clear();
    std::vector<Setting> all;
    for (Applied& a : settings) {
      FormCandidate c = a.plan.candidates[0];
      c.name = a.setting.text;
      c.trial = by_importance(c.trial ? c.trial : c.fitter);
      out.plan.candidates.push_back(std::move(c));
      all.push_back(std::move(a.setting));
    }
    out.plan.allocation.choose = one_for_all(std::move(all), out.setting);
    return out;
  }
  if (settings.size() == 1) return out;
  std::vector<std::pair<Setting, weights::Choose>> choices;
  for (Applied& a : settings) {
    if (!same_forms(a.plan, out.plan) || !a.plan.allocation.choose) {
      fail(ErrorKind::kUsage, "recipe {}: settings '{}' and '{}' choose among different forms",
           recipe.name, out.setting->text, a.setting.text);
    }
    choices.emplace_back(std::move(a.setting), std::move(a.plan.allocation.choose));
  }
  out.plan.allocation.choose = nearest_to_limit(std::move(choices), out.setting);
  return out;
}

std::vector<std::string_view> sized_recipes() {
  std::vector<std::string_view> out;
  for (const Recipe& r : all_recipes()) {
    if (!r.sizes.empty() && !r.needs_base) out.push_back(r.name);
  }
  return out;
}

}  // namespace pith::recipe
