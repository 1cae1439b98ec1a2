// Products with codebooks and lattices: weights a second, and what is read of memory for them.
#include <benchmark/benchmark.h>

#include <random>

#include "pith/form/form.h"

namespace pith::form {
namespace {

Matrix normal(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, 0.02f);
  Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

void multiply(benchmark::State& state, const std::string& expression, uint64_t batch) {
  const Shape shape{1024, 4096};
  static std::map<std::string, FormPtr> made;
  FormPtr& form = made[expression];
  if (!form) form = encode(parse(expression), normal(shape, 1).view());
  const Matrix x = normal({batch, shape.cols}, 2);
  Matrix y;
  for (auto _ : state) {
    apply(*form, x.view(), y, 1);
    benchmark::DoNotOptimize(y.values.data());
  }
  const auto weights = static_cast<double>(state.iterations() * shape.size());
  state.counters["Gweights/s"] = benchmark::Counter(weights / 1e9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * bits(*form)) / 8e9, benchmark::Counter::kIsRate);
}

const bool registered = [] {
  for (const std::string expression :
       {"dense(f16)", "uniform(4)", "codebook(4)", "codebook(16)", "codebook(256)",
        "codebook(16, dim=2)", "codebook(256, dim=4)", "codebook(256, dim=8)",
        "codebook(256, dim=8, stages=2)", "lattice(e8, 2)", "lattice(e8, 4)",
        "lattice(pyramid, dim=16, bits=3)", "trellis(2, states=256)", "trellis(4, states=256)"}) {
    for (const uint64_t batch : {1, 8, 64})
      benchmark::RegisterBenchmark((expression + "/" + std::to_string(batch)).c_str(),
                                   [=](benchmark::State& s) { multiply(s, expression, batch); });
  }
  return true;
}();

}  // namespace
}  // namespace pith::form
