// Solvers on problems the size of a language model's: milliseconds, and by how much the loss is at
// most above the least possible.
#include <benchmark/benchmark.h>

#include "random_problem.h"

namespace pith::budget {
namespace {

// So many layers of 7 tensors each, 2 to 8 bits with and without a rank, within a share of what
// lies between the least and the most of each resource.
Problem model(size_t layers, size_t resources) {
  testing::Draw draw{3};
  Problem problem;
  for (size_t k = 0; k < resources; ++k) problem.resources.push_back(fmt::format("r{}", k));
  for (size_t i = 0; i < 7 * layers; ++i) {
    const double elements = std::floor(std::exp(13 + 3 * draw.unit())),
                 weight = std::exp(3 * draw.unit());
    std::vector<double> pace;
    for (size_t k = 0; k < resources; ++k) pace.push_back(k == 0 ? 1 : draw.unit());
    Part part{fmt::format("tensor{}", i), {}};
    for (int bits = 2; bits <= 8; ++bits) {
      for (const int rank : {0, 8, 32}) {
        const double bytes =
            std::ceil(elements * bits / 8) + 2 * rank * std::ceil(2 * std::sqrt(elements));
        Candidate candidate{
            "",
            weight * elements * std::exp2(-2 * bits) * (1 - 0.01 * rank * (0.5 + draw.unit())),
            {}};
        for (const double p : pace) candidate.costs.push_back(std::ceil(p * bytes));
        part.candidates.push_back(candidate);
      }
    }
    problem.parts.push_back(part);
  }
  return problem;
}

void run(benchmark::State& state, Solver solver) {
  const Problem problem =
      model(static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  Goal goal;
  for (const std::string& resource : problem.resources) {
    goal.within.push_back({resource, std::floor(1.7 * smallest(problem, resource))});
  }
  Options options;
  options.solver = solver;
  options.nodes = 1000;
  Solution solution;
  for (auto _ : state) {
    solution = solve(problem, goal, options);
    benchmark::DoNotOptimize(solution);
  }
  const double bound = solve(problem, goal).bound;
  state.counters["above_ppm"] = 1e6 * (solution.value / bound - 1);
}

void frontier(benchmark::State& state) {
  const Problem problem = model(static_cast<size_t>(state.range(0)), 1);
  size_t points = 0;
  for (auto _ : state) points = Frontier(problem, "r0").points().size();
  state.counters["points"] = static_cast<double>(points);
}

// Layers, resources.
BENCHMARK_CAPTURE(run, greedy, Solver::kGreedy)
    ->Args({32, 1})
    ->Args({32, 2})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, lagrangian, Solver::kLagrangian)
    ->Args({32, 1})
    ->Args({32, 2})
    ->Args({32, 3})
    ->Args({4096, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, dynamic, Solver::kDynamic)
    ->Args({32, 1})
    ->Args({4096, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, integer, Solver::kInteger)
    ->Args({32, 1})
    ->Args({32, 2})
    ->Args({32, 3})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run, auto, Solver::kAuto) -> Args({32, 1}) -> Args({32, 2}) -> Args({32, 3})
    -> Args({4096, 1}) -> Unit(benchmark::kMillisecond);
BENCHMARK(frontier)->Args({32})->Args({4096})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pith::budget
