// Second moments: operations a second, where each pair of channels counts once.
#include <benchmark/benchmark.h>

#include "pith/fit/second_moment.h"
#include "testing.h"

namespace pith::fit {
namespace {

void second_moment(benchmark::State& state) {
  const auto tokens = static_cast<uint64_t>(state.range(0));
  const auto channels = static_cast<uint64_t>(state.range(1));
  const form::Matrix x = noise({tokens, channels}, 1, 1);
  SecondMoment moment(channels);
  for (auto _ : state) moment.add(x.view(), 1);
  state.counters["flop/s"] = benchmark::Counter(
      static_cast<double>(tokens * channels * (channels + 1) * state.iterations()),
      benchmark::Counter::kIsRate);
}
BENCHMARK(second_moment)->ArgNames({"tokens", "channels"})->Args({2048, 576})->Args({2048, 2048});

}  // namespace
}  // namespace pith::fit
