// The integer program, by COIN-OR's branch and cut: a variable of 0 or 1 for every option, one of
// each part, a row for every limit.
#include <CbcBranchActual.hpp>
#include <CbcEventHandler.hpp>
#include <CbcHeuristic.hpp>
#include <CbcHeuristicDiveCoefficient.hpp>
#include <CbcModel.hpp>
#include <CglClique.hpp>
#include <CglGomory.hpp>
#include <CglKnapsackCover.hpp>
#include <CglMixedIntegerRounding2.hpp>
#include <OsiClpSolverInterface.hpp>
#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>

#include "improve.h"
#include "pith/base/error.h"
#include "prices.h"
#include "solvers.h"

namespace pith::budget {
namespace {

// The best choice known is worth this much to the solver, whose tolerances are absolute.
constexpr double kScale = 1000;
constexpr double kLeastGain = 1e-9;  // a better choice saves at least this share of it
constexpr double kTolerance = 1e-9;  // by which a row may be exceeded, as a share of the slack
// Shares of a slack smaller than this are lost among the tolerances: nothing is proven then.
constexpr double kLeastShare = 1e-7;

// Asks whether to go on, at every node. The solver copies its handler, so what happened is kept
// outside of it; exceptions do not pass through the solver.
class Watch : public CbcEventHandler {
 public:
  struct State {
    Progress progress;
    std::exception_ptr stopped = nullptr;
  };

  explicit Watch(State* state) : state_(state) {}
  Watch(const Watch&) = default;
  Watch& operator=(const Watch&) = delete;
  CbcEventHandler* clone() const override { return new Watch(*this); }

  using CbcEventHandler::event;
  CbcAction event(CbcEvent which) override {
    if (state_->stopped) return stop;
    if (which != node || !model_) return noAction;
    try {
      report(state_->progress, static_cast<uint64_t>(model_->getNodeCount()), 0);
    } catch (...) {
      state_->stopped = std::current_exception();
      return stop;
    }
    return noAction;
  }

 private:
  State* state_;
};

// Only parts with a choice have variables; `values` may be left out to look for any choice.
class Program {
 public:
  Program(const Table& table, double scale) : table_(table) {
    const auto limits = static_cast<int>(table.limits());
    CoinPackedMatrix rows(false, 0, 0);
    for (size_t i = 0; i < table.parts(); ++i) {
      if (table.first[i + 1] - table.first[i] == 1) continue;
      for (size_t option = table.first[i]; option < table.first[i + 1]; ++option) {
        options_.push_back(option);
        costs_.push_back(table.value[option] * scale);
      }
      ends_.push_back(options_.size());
    }
    rows.setDimensions(0, static_cast<int>(options_.size()));
    for (size_t begin = 0; const size_t end : ends_) {
      CoinPackedVector one;
      for (size_t v = begin; v < end; ++v) one.insert(static_cast<int>(v), 1);
      rows.appendRow(one);
      begin = end;
    }
    for (size_t k = 0; k < table.limits(); ++k) {
      CoinPackedVector shares;
      for (size_t v = 0; v < options_.size(); ++v) {
        const double share = table.weights(options_[v])[k] / table.slack[k];
        if (share > 0) shares.insert(static_cast<int>(v), share);
        resolved_ = resolved_ && (share == 0 || share >= kLeastShare);
      }
      rows.appendRow(shares);
    }
    std::vector<double> low(ends_.size(), 1), high(ends_.size() + limits, 1);
    low.resize(high.size(), -COIN_DBL_MAX);
    const std::vector<double> zeros(options_.size(), 0), ones(options_.size(), 1);
    solver_.loadProblem(rows, zeros.data(), ones.data(), costs_.data(), low.data(), high.data());
    for (size_t v = 0; v < options_.size(); ++v) solver_.setInteger(static_cast<int>(v));
    solver_.setDblParam(OsiPrimalTolerance, kTolerance);
    solver_.setDblParam(OsiDualTolerance, kTolerance);
    solver_.messageHandler()->setLogLevel(0);
  }

  struct Answer {
    std::optional<Choice> choice;
    double bound = 0;       // scaled
    bool finished = false;  // then no choice means that there is none below the cutoff
    bool timed_out = false;
  };

  // Whether no weight is too small beside its slack for the solver to prove anything.
  bool resolved() const { return resolved_; }

  Answer solve(double cutoff, const Options& options) {
    Watch::State state{options.progress};
    Watch watch(&state);
    CbcModel model(solver_);
    model.setLogLevel(0);
    model.messageHandler()->setLogLevel(0);
    model.passInEventHandler(&watch);
    add_helpers(model);
    model.setCutoff(cutoff);
    model.setCutoffIncrement(kLeastGain * kScale);
    model.setAllowableGap(kLeastGain * kScale);
    model.setUseElapsedTime(true);
    model.setMaximumSeconds(std::min(options.seconds, 1e9));
    model.setMaximumNodes(static_cast<int>(std::min<uint64_t>(options.nodes, 1u << 30)));
    model.initialSolve();
    if (model.isInitialSolveProvenPrimalInfeasible()) return {std::nullopt, cutoff, true, false};
    model.branchAndBound();
    if (state.stopped) std::rethrow_exception(state.stopped);

    Answer answer;
    answer.finished = model.status() == 0;
    answer.timed_out = model.isSecondsLimitReached();
    answer.bound = answer.finished ? cutoff : model.getBestPossibleObjValue();
    if (model.bestSolution()) {
      if (answer.finished) answer.bound = model.getObjValue();
      answer.choice = choice(model.bestSolution());
    }
    return answer;
  }

 private:
  void add_helpers(CbcModel& model) const {
    CglKnapsackCover covers;
    CglMixedIntegerRounding2 rounding;
    CglGomory gomory;
    model.addCutGenerator(&covers, -1, "covers");
    model.addCutGenerator(&rounding, -1, "rounding");
    model.addCutGenerator(&gomory, -1, "gomory");
    CbcRounding round(model);
    CbcHeuristicDiveCoefficient dive(model);
    model.addHeuristic(&round, "round");
    model.addHeuristic(&dive, "dive");
  }

  Choice choice(const double* solution) const {
    Choice chosen(table_.first.begin(), table_.first.end() - 1);
    size_t part = 0;
    for (size_t begin = 0; const size_t end : ends_) {
      const size_t best =
          static_cast<size_t>(std::max_element(solution + begin, solution + end) - solution);
      while (table_.first[part + 1] <= options_[best]) ++part;
      chosen[part] = options_[best];
      begin = end;
    }
    return chosen;
  }

  const Table& table_;
  std::vector<size_t> options_;  // of each variable
  std::vector<double> costs_;
  std::vector<size_t> ends_;  // of each open part's variables
  bool resolved_ = true;
  OsiClpSolverInterface solver_;
};

// The prices find no choice: any that is within the limits, or the proof that there is none.
Found solve_any(const Table& table, const Options& options) {
  Program program(table, 0);
  const auto answer = program.solve(kScale, options);
  Found found;
  found.prices.resize(table.limits(), 0);
  found.none = answer.finished && program.resolved() && !answer.choice;
  found.choice = answer.choice;
  if (found.choice && !repair(table, found.prices, *found.choice)) found.choice.reset();
  if (found.choice) improve(table, *found.choice);
  return found;
}

}  // namespace

Found solve_integer(const Table& table, const Options& options) {
  if (std::isnan(options.seconds) || options.seconds < 0) {
    fail(ErrorKind::kUsage, "the time for an integer program is {} seconds", options.seconds);
  }
  Found found = solve_lagrangian(table, options);
  if (found.none) return found;
  if (!found.choice) found = solve_any(table, options);
  if (!found.choice) return found;

  const double value = value_of(table, *found.choice);
  const Table reduced = reduce(table, found.prices, value);
  const double rise = reduced.base - table.base, above = value - rise;
  if (!(above > 0)) {
    found.bound = value;
    return found;
  }
  Program program(reduced, kScale / above);
  const auto answer = program.solve(kScale * (1 - kLeastGain), options);
  if (answer.choice) {
    Choice choice = unreduced(table, reduced, *answer.choice);
    // Rows are kept up to a tolerance only.
    if (repair(table, found.prices, choice)) {
      improve(table, choice);
      if (value_of(table, choice) < value) found.choice = choice;
    }
  }
  const double best = value_of(table, *found.choice);
  if (program.resolved()) {
    const double bound = rise + answer.bound * (above / kScale);
    found.bound = std::min(std::max(found.bound, bound), best);
    // What was left to gain is less than the solver is asked to look for.
    if (answer.finished && best - found.bound <= 4 * kLeastGain * best) found.bound = best;
  }
  if (answer.finished && program.resolved()) return found;
  found.note =
      fmt::format("integer program: {}, best so far, at most {:.3g}% above the least possible",
                  !answer.finished ? answer.timed_out ? "time ran out" : "nodes ran out"
                                   : "costs differ too much to prove anything",
                  100 * (best - found.bound) / (table.base + best));
  return found;
}

}  // namespace pith::budget
