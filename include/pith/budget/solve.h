// Solvers behind one call: the best choice of a candidate for every part within limits.
//
//   const Solution s = solve(problem, {.within = {{"bytes", 3e6}}});
//   s.chosen[0], s.totals.loss, s.gap()
//
// The same problem and options give the same choice; candidates that are equally good are chosen
// in their order. A time limit is the exception: what is found within it depends on the machine.
// docs/budgets.md says what each solver is for.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "pith/base/progress.h"
#include "pith/budget/problem.h"

namespace pith::budget {

enum class Solver : uint8_t {
  kAuto,     // Lagrangian; where that leaves a gap, also dynamic (one limit) or integer (several)
  kDynamic,  // dynamic programming over quantized costs (L-GreCo, Alimohammadi et al. 2023); one
             // limit, exact where the costs are multiples of a unit and few enough
  kInteger,  // integer program, branch and cut (AdaQuant, Hubara et al. 2021; HAWQ-V3, Yao et al.
             // 2021); exact unless time or nodes run out
  kLagrangian,  // lower convex hulls and a price (Shoham and Gersho 1988), several prices by
                // subgradient; what is left is spent greedily
  kGreedy,      // always the step that saves most of what is minimised for its cost
};

struct Options {
  Solver solver = Solver::kAuto;
  uint32_t bins = 10000;           // of dynamic programming, 1 … 65535
  uint64_t memory = 256ull << 20;  // bytes for its table; fewer bins where that is not enough
  double seconds = std::numeric_limits<double>::infinity();  // of the integer program
  uint64_t nodes = 20000;                                    // of its search
  Progress progress = {};  // done and total in steps of the solver
};

struct Solution {
  std::vector<size_t> chosen;  // a candidate for every part
  Totals totals;
  double value = 0;               // of what was to be the least
  double bound = 0;               // no choice within the limits has less of it
  Solver solver = Solver::kAuto;  // that found it
  std::string note;               // what a user should know: quantized costs, time that ran out

  bool optimal() const { return gap() <= 1e-9; }
  // How much of the value could at most be saved, as a share of it.
  double gap() const { return value > bound ? (value - bound) / value : 0; }
};

// Throws what check() throws; ErrorKind::kUsage for names that the problem does not have, limits
// that are NaN and solvers that cannot do what is asked; kLimit for limits that no choice meets,
// with the smallest that can be met.
Solution solve(const Problem& problem, const Goal& goal, const Options& options = {});

// The whole curve of loss over one resource: choices on the lower convex hull of all that there
// are, from the cheapest to that of the least loss. One sort of the parts' own hulls.
class Frontier {
 public:
  Frontier(const Problem& problem, std::string_view resource);

  struct Point {
    double cost = 0, loss = 0;
    double slope = 0;  // of the step to it: loss saved for one unit; infinity for the first point
    size_t part = 0, candidate = 0;  // what that step changed; the first point changes nothing
  };
  const std::vector<Point>& points() const { return points_; }

  // The choice at a point.
  std::vector<size_t> chosen(size_t point) const;
  // The last point of at most that cost. Throws ErrorKind::kLimit where there is none.
  size_t within(double cost) const;

 private:
  std::string resource_;
  std::vector<size_t> cheapest_;
  std::vector<Point> points_;
};

std::string_view name(Solver solver);

}  // namespace pith::budget
