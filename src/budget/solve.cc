#include "pith/budget/solve.h"

#include <algorithm>
#include <array>

#include "conflict.h"
#include "hull.h"
#include "pith/base/error.h"
#include "solvers.h"

namespace pith::budget {
namespace {

// A gap that is not worth more work.
constexpr double kSmallGap = 1e-4;

Found run(const Table& table, Solver solver, const Options& options) {
  switch (solver) {
    case Solver::kDynamic:
      if (table.limits() > 1) {
        fail(ErrorKind::kUsage, "dynamic programming takes one limit; {} bind here",
             table.limits());
      }
      return solve_dynamic(table, options);
    case Solver::kInteger:
      return solve_integer(table, options);
    case Solver::kGreedy:
      return solve_greedy(table, options);
    default:
      return solve_lagrangian(table, options);
  }
}

Solution solution(const Problem& problem, const Goal& goal, const Table& table, const Found& found,
                  Solver solver) {
  Solution s;
  s.chosen = candidates(table, *found.choice);
  s.totals = totals(problem, s.chosen);
  s.value = s.totals.of(problem, goal.least);
  s.solver = solver;
  s.note = found.note;
  return s;
}

// Sums in another order round differently. First the limits are taken so much wider that no choice
// within them is missed, which bounds and proofs hold for; where what is found is beyond a limit by
// that, narrower.
Attempt solve_with(const Problem& problem, const Goal& goal, Solver solver,
                   const Options& options) {
  constexpr double kWider = 1e-13;
  double bound = 0;
  for (const double margin : {-kWider, 0.0, 1e-12, 1e-9}) {
    const bool first = margin == -kWider;
    const std::optional<Table> table = make_table(problem, goal.least, goal.within, margin);
    if (!table) return {{}, first, 0};
    Found found;
    if (table->limits() == 0) {  // every part's best
      found.choice = Choice(table->first.begin(), table->first.end() - 1);
      found.bound = value_of(*table, *found.choice);
    } else {
      found = run(*table, solver, options);
    }
    if (!found.choice) return {{}, first && found.none, table->limits()};
    if (first) bound = table->base + found.bound;
    Solution s = solution(problem, goal, *table, found, solver);
    s.bound = std::min(bound, s.value);
    if (meets(problem, s.totals, goal.within)) return {std::move(s), false, table->limits()};
  }
  return {};
}

Solution better(Solution a, Solution b) {
  const double bound = std::max(a.bound, b.bound);
  Solution best = b.value < a.value ? std::move(b) : std::move(a);
  best.bound = std::min(bound, best.value);
  return best;
}

Attempt solve_auto(const Problem& problem, const Goal& goal, const Options& options) {
  Attempt best = solve_with(problem, goal, Solver::kLagrangian, options);
  for (const Solver exact : {Solver::kDynamic, Solver::kInteger}) {
    if (best.none || (best.solution && best.solution->gap() <= kSmallGap)) break;
    if (exact == Solver::kDynamic && best.limits > 1) continue;
    Attempt next = solve_with(problem, goal, exact, options);
    if (best.solution && next.solution) {
      next.solution = better(*std::move(best.solution), *std::move(next.solution));
    }
    if (next.solution || next.none) best = std::move(next);
  }
  return best;
}

}  // namespace

Attempt attempt(const Problem& problem, const Goal& goal, const Options& options) {
  return options.solver == Solver::kAuto ? solve_auto(problem, goal, options)
                                         : solve_with(problem, goal, options.solver, options);
}

Solution solve(const Problem& problem, const Goal& goal, const Options& options) {
  check(problem);
  const Goal possible{goal.least, possible_limits(problem, goal)};
  Attempt made = attempt(problem, possible, options);
  if (!made.solution) fail_conflict(problem, possible, made.none, options);
  return *std::move(made.solution);
}

std::string_view name(Solver solver) {
  constexpr std::array<std::string_view, 5> kNames = {"auto", "dynamic", "integer", "lagrangian",
                                                      "greedy"};
  return kNames.at(static_cast<size_t>(solver));
}

Frontier::Frontier(const Problem& problem, std::string_view resource) : resource_(resource) {
  check(problem);
  if (resource == kLoss) fail(ErrorKind::kUsage, "a frontier is of the loss over a resource");
  const Table table = curve_table(problem, resource);
  cheapest_ = candidates(table, {table.first.begin(), table.first.end() - 1});
  const Totals start = totals(problem, cheapest_);
  points_.push_back(
      {start.of(problem, resource), start.loss, std::numeric_limits<double>::infinity(), 0, 0});
  for (const Step& step : hull_steps(table)) {
    const Point& last = points_.back();
    points_.push_back({last.cost + step.weight, std::max(0.0, last.loss - step.value), step.slope,
                       step.part, table.candidate[step.option]});
  }
}

std::vector<size_t> Frontier::chosen(size_t point) const {
  std::vector<size_t> chosen = cheapest_;
  for (size_t i = 1; i <= point; ++i) chosen[points_.at(i).part] = points_[i].candidate;
  return chosen;
}

size_t Frontier::within(double cost) const {
  const auto beyond = std::upper_bound(points_.begin(), points_.end(), cost,
                                       [](double c, const Point& point) { return c < point.cost; });
  if (beyond == points_.begin()) {
    fail(ErrorKind::kLimit, "{}: at most {} cannot be met, the smallest possible is {}", resource_,
         cost, points_[0].cost);
  }
  return static_cast<size_t>(beyond - points_.begin()) - 1;
}

}  // namespace pith::budget
