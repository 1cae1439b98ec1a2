// Products with sparse forms, factors and bases beside the dense form that they stand for: weights
// a second, whether kept or not, and what is read of memory for them.
#include <benchmark/benchmark.h>

#include <map>
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
  const Shape shape{2048, 4096};
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
  for (const std::string expression : {"dense(f32)",
                                       "dense(f16)",
                                       "sparse(50%)",
                                       "sparse(30%)",
                                       "sparse(10%)",
                                       "sparse(2:4)",
                                       "sparse(1:4)",
                                       "sparse(2:16)",
                                       "sparse(2:4, values=uniform(4))",
                                       "sparse(1%)",
                                       "sparse(5%)",
                                       "sparse(50%, block=16)",
                                       "sparse(50%, block=16, height=16)",
                                       "sparse(50%, pattern=rows)",
                                       "sparse(50%, pattern=columns)",
                                       "lowrank(64)",
                                       "blockdiag(64, values=f32)",
                                       "dct(block=64) | dense(f16)",
                                       "dct | dense(f16)",
                                       "wavelet(db4) | dense(f16)",
                                       "hadamard | dense(f16)"}) {
    for (const uint64_t batch : {1, 8, 64})
      benchmark::RegisterBenchmark((expression + "/" + std::to_string(batch)).c_str(),
                                   [=](benchmark::State& s) { multiply(s, expression, batch); });
  }
  return true;
}();

}  // namespace
}  // namespace pith::form
