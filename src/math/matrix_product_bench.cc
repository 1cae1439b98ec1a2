// Matrix products: operations a second.
#include <benchmark/benchmark.h>

#include <vector>

#include "pith/math/matrix_product.h"

namespace pith::math {
namespace {

void product(benchmark::State& state) {
  const auto rows = static_cast<uint64_t>(state.range(0)),
             inner = static_cast<uint64_t>(state.range(1)),
             cols = static_cast<uint64_t>(state.range(2));
  const auto threads = static_cast<int>(state.range(3));
  const std::vector<float> a(rows * inner, 0.5F), b(inner * cols, 0.25F);
  std::vector<float> c(rows * cols);
  for (auto _ : state) {
    matrix_product(row_major(a.data(), rows, inner), row_major(b.data(), cols, inner).transposed(),
                   c.data(), cols, ProductInto::kReplace, threads);
  }
  state.counters["flop/s"] =
      benchmark::Counter(2.0 * static_cast<double>(rows * inner * cols * state.iterations()),
                         benchmark::Counter::kIsRate);
}
BENCHMARK(product)
    ->ArgNames({"rows", "inner", "cols", "threads"})
    ->Args({128, 64, 128, 1})
    ->Args({256, 256, 256, 1})
    ->Args({1024, 1024, 1024, 1})
    ->Args({2048, 2048, 2048, 1})
    ->Args({2048, 2048, 2048, 2})
    ->UseRealTime();

}  // namespace
}  // namespace pith::math
