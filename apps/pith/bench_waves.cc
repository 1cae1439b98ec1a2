// Surrogates of waves whose kernels are products of one-way filters from the beginning, beside full
// ones and as many weights in fewer channels.
#include <algorithm>
#include <numeric>

#include "../../src/network/testing_waves.h"
#include "bench.h"
#include "bench_data.h"
#include "bench_measure.h"
#include "bench_report.h"
#include "pith/network/fitted_layers.h"

namespace pith::bench {
namespace {

using network::Network;
using network::testing::Heights;
using network::testing::kWaveSide;

constexpr int kSeeds = 3;
constexpr size_t kShown[] = {1, 5, 10, 20};  // steps

std::filesystem::path file_of(const std::string& kernels, int seed) {
  return reference_networks() / fmt::format("waves_{}_{}.onnx", kernels, seed);
}

Network surrogate(const std::string& kernels, int seed) {
  return Network(network::graph_of(io::read_onnx_graph(file_of(kernels, seed))));
}

// Means over the seeds, and from the least to the most.
std::vector<Cell> error_cells(const std::string& kernels,
                              const std::vector<std::vector<Heights>>& motions) {
  std::vector<std::vector<double>> errors;
  for (int seed = 1; seed <= kSeeds; ++seed)
    errors.push_back(network::testing::rollout_errors(surrogate(kernels, seed), motions));
  std::vector<Cell> cells;
  for (const size_t steps : kShown) {
    std::vector<double> at;
    for (const std::vector<double>& of_seed : errors) at.push_back(of_seed[steps - 1]);
    const double mean = std::accumulate(at.begin(), at.end(), 0.0) / kSeeds;
    const auto [least, most] = std::ranges::minmax(at);
    cells.push_back({fmt::format("{:.3f} ({:.3f}–{:.3f})", mean, least, most),
                     {{"mean", mean}, {"least", least}, {"most", most}}});
  }
  return cells;
}

}  // namespace

void bench_waves(const Options& options) {
  Report report("waves", options.json);
  const uint64_t count_of_motions = options.quick ? 10 : 200, states = 64;
  report.note(
      fmt::format("{} motions of a membrane of {} x {} that nothing was trained with, from the "
                  "first two states on; errors after so many steps: the root of the squared error "
                  "over the squares, the mean of {} seeds (least–most); times: of {} states at "
                  "once, one thread",
                  count_of_motions, kWaveSide, kWaveSide, kSeeds, states));
  const auto motions = network::testing::motions(network::testing::kHeldOutWaves, count_of_motions,
                                                 kShown[std::size(kShown) - 1] + 1);
  const network::Tensor some({states, 2, kWaveSide, kWaveSide},
                             std::vector<float>(states * 2 * network::testing::kWaveCells, 0.1f));
  Table table({"kernels", "weights", "bytes of the file", "1 step", "5", "10", "20", "ms a state"});
  for (const char* kernels : {"full_16", "separable_16", "full_4"}) {
    report.status(kernels);
    const Network net = surrogate(kernels, 1);
    std::vector<Cell> row = {text(kernels), count(network::layer_weights(net)),
                             count(std::filesystem::file_size(file_of(kernels, 1)))};
    for (Cell& cell : error_cells(kernels, motions)) row.push_back(std::move(cell));
    const double seconds = best_of(
        10 * options.runs, [&] { net.run({some}); }, options.clock);
    row.push_back(number(1e3 * seconds / static_cast<double>(states), 3));
    table.add(std::move(row));
  }
  report.table(table);
  report.finish();
}

}  // namespace pith::bench
