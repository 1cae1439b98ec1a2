// Products with forms as benchmarks: weights a second, and what is read of memory for them.
#pragma once

#include <benchmark/benchmark.h>

#include <initializer_list>
#include <map>
#include <string>

#include "noise_matrix.h"
#include "pith/form/form.h"

namespace pith::form {

inline void multiply(benchmark::State& state, Shape shape, const std::string& expression,
                     uint64_t batch) {
  static std::map<std::string, FormPtr> made;
  FormPtr& form = made[expression];
  if (!form) form = encode(parse(expression), noise(shape, 1).view());
  const Matrix x = noise({batch, shape.cols}, 2);
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

// For one vector, 8 and 64; the matrix of an expression is encoded once.
inline bool register_products(Shape shape, std::initializer_list<std::string> expressions) {
  for (const std::string& expression : expressions) {
    for (const uint64_t batch : {1, 8, 64}) {
      benchmark::RegisterBenchmark(
          (expression + "/" + std::to_string(batch)).c_str(),
          [=](benchmark::State& s) { multiply(s, shape, expression, batch); });
    }
  }
  return true;
}

}  // namespace pith::form
