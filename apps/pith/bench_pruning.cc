// Two small networks that are trained, pruned and trained on by each choice that a survey of
// pruning sets against another, from several seeds.
#include "../../src/recipe/testing_pruning.h"
#include "bench.h"
#include "bench_report.h"

namespace pith::bench {
namespace {

using namespace recipe::testing;

struct Choice {
  const char* name;
  PruningTrial trial;
};
constexpr Choice kChoices[] = {
    {"unstructured, at once, by size, for good, trained first, trained on", {}},
    {"structured", {.structured = true}},
    {"iterative", {.iterative = true}},
    {"by size and gradients", {.data_driven = true}},
    {"dynamic", {.dynamic = true}},
    {"chosen before training", {.initialized = true}},
    {"trained from scratch", {.scratch = true}},
    {"by gradients, structured", {.structured = true, .data_driven = true}},
    {"by gradients, iterative", {.iterative = true, .data_driven = true}},
    {"by gradients, iterative, structured",
     {.structured = true, .iterative = true, .data_driven = true}},
};

Cell cell(std::span<const double> losses) {
  const Spread s = spread(losses);
  return {fmt::format("{:.3f} ± {:.3f}", s.mean, s.deviation),
          {{"mean", s.mean}, {"deviation", s.deviation}}};
}

template <class Task>
void rows(Report& report, const Options& options) {
  std::vector<PruningHarness<Task>> seeds;
  std::vector<double> whole;
  for (uint32_t seed = 1; seed <= (options.quick ? 2 : 8); ++seed) {
    report.status(fmt::format("{}, seed {}", Task::kName, seed));
    seeds.emplace_back(seed);
    whole.push_back(seeds.back().whole());
  }
  report.section(Task::kName);
  report.note(fmt::format("Trained, nothing taken out: {}", cell(whole).text));
  std::vector<double> sparsities = {0.8};
  if (!options.quick) sparsities = {0.5, 0.8, 0.9, 0.95};
  std::vector<std::string> columns = {"choice; others as in the first row"};
  for (const double s : sparsities) columns.push_back(fmt::format("{:.0f}%", 100 * s));
  Table table(columns);
  for (const Choice& choice : kChoices) {
    report.status(fmt::format("{}, {}", Task::kName, choice.name));
    std::vector<Cell> row = {text(choice.name)};
    for (const double sparsity : sparsities) {
      std::vector<double> losses;
      for (const auto& harness : seeds) losses.push_back(harness.loss(choice.trial, sparsity));
      row.push_back(cell(losses));
    }
    table.add(std::move(row));
  }
  report.table(table);
}

}  // namespace

void bench_pruning(const Options& options) {
  Report report("pruning", options.json);
  report.note(
      "Nats on what was not trained with, the mean of the seeds ± the deviation of one, with these "
      "shares of the weights taken out, as many of each matrix whatever the choice");
  rows<CharacterTask>(report, options);
  rows<DrawingTask>(report, options);
  report.finish();
}

}  // namespace pith::bench
