#include "pith/budget/evolve.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "mutation.h"
#include "pith/base/error.h"
#include "pith/budget/solve.h"

namespace pith::budget {
namespace {

using Chosen = std::vector<size_t>;

void check_options(const Problem& problem, std::span<const Limit> limits,
                   const EvolveOptions& options) {
  for (const Limit& limit : limits) {
    if (limit.of == kLoss) {
      fail(ErrorKind::kUsage, "evolution looks for the least loss: it takes no limit on it");
    }
    if (std::isnan(limit.most))
      fail(ErrorKind::kUsage, "the limit on {} is not a number", limit.of);
    smallest(problem, limit.of);  // throws where there is no such resource
  }
  size_t left = options.offspring;
  for (const Stage& stage : options.stages) {
    if (stage.samples < 1 || stage.survivors < 1 || stage.survivors > left) {
      fail(ErrorKind::kUsage, "a stage of {} samples leaves {} of {}", stage.samples,
           stage.survivors, left);
    }
    left = stage.survivors;
  }
  if (options.stages.empty() || left != 1) {
    fail(ErrorKind::kUsage, "the stages of an evolution leave {}, not one", left);
  }
  if (options.most_switches < 1) fail(ErrorKind::kUsage, "an evolution needs at least one switch");
  if (!options.start.empty() && !meets(problem, totals(problem, options.start), limits)) {
    fail(ErrorKind::kUsage, "the start of the evolution is beyond its limits");
  }
}

class Evolution {
 public:
  Evolution(const Problem& problem, std::span<const Limit> limits, const TrueLoss& loss,
            const EvolveOptions& options)
      : options_(options),
        loss_(loss),
        mutation_(problem, limits),
        draws_(options.seed),
        began_(std::chrono::steady_clock::now()) {
    result_.chosen = options.start;
    if (result_.chosen.empty()) {
      result_.chosen = solve(problem, {.within = {limits.begin(), limits.end()}}).chosen;
    }
  }

  Evolved run() {
    const Chosen start = result_.chosen;
    result_.start_loss = measure(start, options_.stages.back().samples, 0);
    if (std::isinf(result_.start_loss)) {
      fail(ErrorKind::kData, "the true loss of the start is no number");
    }
    while (mutation_.possible() && result_.generations < options_.generations && goes_on()) {
      report(options_.progress, result_.generations, options_.generations);
      if (!generation()) break;
    }
    result_.loss = result_.start_loss;
    if (result_.chosen != start) {
      result_.loss = measure(result_.chosen, options_.stages.back().samples, 0);
      // Chosen on other samples than these, it may have been luck.
      if (!(result_.loss <= result_.start_loss)) {
        result_.chosen = start;
        result_.loss = result_.start_loss;
      }
    }
    return std::move(result_);
  }

 private:
  struct Measured {
    Chosen chosen;
    double loss = 0;
  };

  double measure(const Chosen& chosen, uint64_t samples, uint64_t round) {
    ++result_.evaluations;
    const double loss = loss_(chosen, samples, round);
    return std::isnan(loss) ? std::numeric_limits<double>::infinity() : loss;
  }

  // The last measurement, of what was found beside the start, is kept in reserve.
  bool may_measure() {
    if (result_.evaluations + 1 < options_.evaluations) return true;
    result_.note = fmt::format("{} evaluations ran out: best so far", options_.evaluations);
    return false;
  }

  bool goes_on() {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began_;
    if (passed.count() < options_.seconds) return may_measure();
    result_.note = fmt::format("{:.3g} seconds ran out: best so far", options_.seconds);
    return false;
  }

  std::vector<Measured> offspring() {
    std::vector<Measured> children;
    for (size_t tries = 0; children.size() < options_.offspring && tries < 8 * options_.offspring;
         ++tries) {
      auto child = mutation_.mutate(result_.chosen, options_.most_switches, draws_);
      const auto same = [&](const Measured& other) { return other.chosen == *child; };
      if (!child || std::any_of(children.begin(), children.end(), same)) continue;
      children.push_back({*std::move(child), 0});
    }
    return children;
  }

  // False where there are no offspring, or evaluations or time ran out: the parent stays.
  bool generation() {
    std::vector<Measured> race = offspring();
    if (race.empty()) return false;
    const uint64_t round = result_.generations + 1;
    for (size_t s = 0; s < options_.stages.size(); ++s) {
      const Stage& stage = options_.stages[s];
      // The parent runs in the last stage only, and first: it wins where none is better.
      if (s + 1 == options_.stages.size()) race.insert(race.begin(), {result_.chosen, 0});
      for (Measured& runner : race) {
        if (!goes_on()) return false;
        runner.loss = measure(runner.chosen, stage.samples, round);
      }
      std::stable_sort(race.begin(), race.end(),
                       [](const Measured& a, const Measured& b) { return a.loss < b.loss; });
      if (race.size() > stage.survivors) race.resize(stage.survivors);
    }
    result_.chosen = std::move(race[0].chosen);
    ++result_.generations;
    return true;
  }

  const EvolveOptions& options_;
  const TrueLoss& loss_;
  Mutation mutation_;
  Draws draws_;
  std::chrono::steady_clock::time_point began_;
  Evolved result_;
};

}  // namespace

Evolved evolve(const Problem& problem, std::span<const Limit> limits, const TrueLoss& loss,
               const EvolveOptions& options) {
  check(problem);
  check_options(problem, limits, options);
  Evolved result = Evolution(problem, limits, loss, options).run();
  result.totals = totals(problem, result.chosen);
  return result;
}

}  // namespace pith::budget
