#include "table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "pith/base/error.h"

namespace pith::budget {
namespace {

struct Option {
  double value = 0;
  std::vector<double> weights;
  size_t candidate = 0;
};
using Options = std::vector<Option>;  // of one part

double& entry(Option& option, size_t column) {
  return column == 0 ? option.value : option.weights[column - 1];
}

// Every part's options with the value first and a weight for every name.
std::vector<Options> collect(const Problem& problem, std::string_view least,
                             std::span<const std::string> names) {
  std::vector<std::optional<size_t>> columns;
  const auto column = [&](std::string_view name) {
    const auto found = std::find(problem.resources.begin(), problem.resources.end(), name);
    if (name == kLoss) {
      columns.emplace_back();
    } else if (found == problem.resources.end()) {
      fail(ErrorKind::kUsage, "'{}' is no resource of this budget", name);
    } else {
      columns.emplace_back(static_cast<size_t>(found - problem.resources.begin()));
    }
  };
  column(least);
  for (const std::string& name : names) column(name);

  std::vector<Options> all(problem.parts.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const Part& part = problem.parts[i];
    for (size_t j = 0; j < part.candidates.size(); ++j) {
      if (part.fixed && j != *part.fixed) continue;
      Option option{0, std::vector<double>(names.size()), j};
      for (size_t c = 0; c < columns.size(); ++c) {
        const Candidate& candidate = part.candidates[j];
        entry(option, c) = columns[c] ? candidate.costs[*columns[c]] : candidate.loss;
      }
      all[i].push_back(std::move(option));
    }
  }
  return all;
}

// Takes the least of each column off every option of a part; the sums of these by column.
std::vector<double> take_off_least(std::vector<Options>& all, size_t columns) {
  std::vector<double> base(columns, 0);
  for (Options& options : all) {
    for (size_t c = 0; c < columns; ++c) {
      double least = entry(options[0], c);
      for (Option& option : options) least = std::min(least, entry(option, c));
      for (Option& option : options) entry(option, c) -= least;
      base[c] += least;
    }
  }
  return base;
}

// The limits that some choice of the remaining options exceeds.
std::vector<size_t> binding(std::vector<Options>& all, std::span<const double> slack) {
  std::vector<size_t> kept;
  for (size_t k = 0; k < slack.size(); ++k) {
    double most = 0;
    for (const Options& options : all) {
      double greatest = 0;
      for (const Option& option : options) greatest = std::max(greatest, option.weights[k]);
      most += greatest;
    }
    if (most > slack[k]) kept.push_back(k);
  }
  return kept;
}

// Whether all weights within a limit, and their sums, are whole numbers that doubles hold.
bool whole(const std::vector<Options>& all, std::span<const double> base, size_t limit) {
  constexpr double kMost = 0x1p53;
  double most = base[limit + 1];
  for (const Options& options : all) {
    double greatest = 0;
    for (const Option& option : options) {
      if (option.weights[limit] != std::floor(option.weights[limit])) return false;
      greatest = std::max(greatest, option.weights[limit]);
    }
    most += greatest;
  }
  return most <= kMost && base[limit + 1] == std::floor(base[limit + 1]);
}

bool dominates(const Option& a, const Option& b) {
  if (a.value > b.value) return false;
  for (size_t k = 0; k < a.weights.size(); ++k) {
    if (a.weights[k] > b.weights[k]) return false;
  }
  return true;
}

// Where two options are equal in everything, the one that comes first stays.
void remove_dominated(Options& options) {
  std::stable_sort(options.begin(), options.end(), [](const Option& a, const Option& b) {
    return a.value != b.value ? a.value < b.value : a.weights < b.weights;
  });
  Options kept;
  for (Option& option : options) {
    const auto better = [&](const Option& other) { return dominates(other, option); };
    // With one weight only the last that was kept can be better: it has the least weight so far.
    const bool beaten = option.weights.size() == 1 ? !kept.empty() && better(kept.back())
                                                   : std::any_of(kept.begin(), kept.end(), better);
    if (!beaten) kept.push_back(std::move(option));
  }
  std::stable_sort(kept.begin(), kept.end(),
                   [](const Option& a, const Option& b) { return a.weights < b.weights; });
  options = std::move(kept);
}

Table pack(std::vector<Options>& all, std::vector<double> slack, std::vector<std::string> names,
           double base) {
  Table table;
  table.slack = std::move(slack);
  table.name = std::move(names);
  table.base = base;
  for (Options& options : all) {
    remove_dominated(options);
    for (const Option& option : options) {
      table.value.push_back(option.value);
      table.weight.insert(table.weight.end(), option.weights.begin(), option.weights.end());
      table.candidate.push_back(option.candidate);
    }
    table.first.push_back(table.value.size());
  }
  return table;
}

void require_possible(const Problem& problem, const Limit& limit) {
  const double least = smallest(problem, limit.of);
  if (least <= limit.most) return;
  const auto fixed = std::count_if(problem.parts.begin(), problem.parts.end(),
                                   [](const Part& part) { return part.fixed.has_value(); });
  double kept = 0;
  for (const Part& part : problem.parts) {
    if (!part.fixed) continue;
    const Candidate& candidate = part.candidates[*part.fixed];
    kept += Totals{candidate.loss, candidate.costs}.of(problem, limit.of);
  }
  fail(ErrorKind::kLimit, "{}: at most {} cannot be met, the smallest possible is {}{}", limit.of,
       limit.most, least,
       fixed > 0 ? fmt::format(" ({} of it in {} parts that are kept)", kept, fixed) : "");
}

// Removes what alone exceeds a slack, until nothing does: with the candidate of the fewest bytes
// gone for its time, a part needs more bytes. Returns by how much the least value rises; nothing
// where a part has no option left.
std::optional<double> remove_too_heavy(std::vector<Options>& all, std::vector<double>& slack) {
  double rise = 0;
  bool removed = true;
  while (removed) {
    removed = false;
    for (size_t i = 0; i < all.size(); ++i) {
      removed |= std::erase_if(all[i], [&](const Option& option) {
                   return !std::equal(option.weights.begin(), option.weights.end(), slack.begin(),
                                      std::less_equal<>());
                 }) > 0;
      if (all[i].empty()) return std::nullopt;
    }
    if (!removed) break;
    const std::vector<double> taken = take_off_least(all, slack.size() + 1);
    rise += taken[0];
    for (size_t k = 0; k < slack.size(); ++k) slack[k] -= taken[k + 1];
  }
  return rise;
}

}  // namespace

std::vector<Limit> possible_limits(const Problem& problem, const Goal& goal) {
  smallest(problem, goal.least);  // for its name
  std::vector<Limit> limits;
  for (const Limit& limit : goal.within) {
    if (std::isnan(limit.most))
      fail(ErrorKind::kUsage, "the limit on {} is not a number", limit.of);
    if (limit.most == std::numeric_limits<double>::infinity()) continue;
    if (limit.of == goal.least) {
      fail(ErrorKind::kUsage, "{} is to be the least and has a limit: leave one out", limit.of);
    }
    require_possible(problem, limit);
    const auto same = std::find_if(limits.begin(), limits.end(),
                                   [&](const Limit& other) { return other.of == limit.of; });
    if (same == limits.end()) {
      limits.push_back(limit);
    } else {
      same->most = std::min(same->most, limit.most);
    }
  }
  return limits;
}

std::optional<Table> make_table(const Problem& problem, std::string_view least,
                                std::span<const Limit> limits, double margin) {
  std::vector<std::string> names;
  for (const Limit& limit : limits) names.push_back(limit.of);
  std::vector<Options> all = collect(problem, least, names);
  std::vector<double> base = take_off_least(all, names.size() + 1);
  std::vector<double> slack;
  for (size_t k = 0; k < limits.size(); ++k) {
    const double room = limits[k].most - base[k + 1];
    const double rounding = whole(all, base, k) ? 0 : margin * std::abs(limits[k].most);
    slack.push_back(std::max(0.0, room - rounding));
  }
  const std::optional<double> rise = remove_too_heavy(all, slack);
  if (!rise) return std::nullopt;
  base[0] += *rise;
  const std::vector<size_t> kept = binding(all, slack);
  std::vector<double> kept_slack;
  std::vector<std::string> kept_names;
  for (const size_t k : kept) {
    kept_slack.push_back(slack[k]);
    kept_names.push_back(names[k]);
  }
  for (Options& options : all) {
    for (Option& option : options) {
      std::vector<double> weights;
      for (const size_t k : kept) weights.push_back(option.weights[k]);
      option.weights = std::move(weights);
    }
  }
  return pack(all, std::move(kept_slack), std::move(kept_names), base[0]);
}

Table curve_table(const Problem& problem, std::string_view resource) {
  const std::vector<std::string> names = {std::string(resource)};
  std::vector<Options> all = collect(problem, kLoss, names);
  const std::vector<double> base = take_off_least(all, 2);
  return pack(all, {std::numeric_limits<double>::infinity()}, names, base[0]);
}

std::vector<size_t> candidates(const Table& table, const Choice& choice) {
  std::vector<size_t> chosen(choice.size());
  for (size_t i = 0; i < choice.size(); ++i) chosen[i] = table.candidate[choice[i]];
  return chosen;
}

double value_of(const Table& table, const Choice& choice) {
  double sum = 0;
  for (const size_t option : choice) sum += table.value[option];
  return sum;
}

std::vector<double> left_of(const Table& table, const Choice& choice) {
  std::vector<double> used(table.limits(), 0);
  for (const size_t option : choice) {
    for (size_t k = 0; k < used.size(); ++k) used[k] += table.weights(option)[k];
  }
  for (size_t k = 0; k < used.size(); ++k) used[k] = table.slack[k] - used[k];
  return used;
}

bool fits(std::span<const double> left) {
  return std::all_of(left.begin(), left.end(), [](double x) { return x >= 0; });
}

}  // namespace pith::budget
