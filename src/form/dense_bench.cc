// Products with dense and exponent-coded matrices, beside plain reading: bytes a second of what is
// stored, and weights a second. Several copies take turns, so that memory is measured and not the
// cache.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include "pith/base/parallel.h"
#include "pith/form/form.h"

namespace pith::form {
namespace {

constexpr Shape kShape{2048, 8192};
constexpr size_t kCopies = 4;

const Matrix& weights() {
  static const Matrix m = [] {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02f);
    Matrix made(kShape);
    for (float& v : made.values) v = normal(random);
    return made;
  }();
  return m;
}

// As from a file: one array, aligned to a page.
struct Stored {
  std::shared_ptr<uint8_t> memory;
  ByteView bytes;
  FormPtr form;
};

std::vector<Stored> copies_of(const std::string& expression) {
  const Bytes bytes = write(*encode(parse(expression), weights().view()));
  std::vector<Stored> all(kCopies);
  for (Stored& s : all) {
    const size_t size = (bytes.size() + 4095) / 4096 * 4096;
    s.memory.reset(static_cast<uint8_t*>(std::aligned_alloc(4096, size)), std::free);
    std::memcpy(s.memory.get(), bytes.data(), bytes.size());
    s.bytes = {s.memory.get(), bytes.size()};
    s.form = read(s.bytes, s.memory);
  }
  return all;
}

void count(benchmark::State& state, size_t bytes, uint64_t batch) {
  const auto times = static_cast<double>(state.iterations());
  state.counters["GB/s"] =
      benchmark::Counter(times * static_cast<double>(bytes) / 1e9, benchmark::Counter::kIsRate);
  state.counters["Gweights/s"] = benchmark::Counter(
      times * static_cast<double>(kShape.size()) / 1e9, benchmark::Counter::kIsRate);
  if (batch > 0) {
    state.counters["GFLOP/s"] = benchmark::Counter(
        2 * times * static_cast<double>(kShape.size() * batch) / 1e9, benchmark::Counter::kIsRate);
  }
}

void run_product(benchmark::State& state, const std::string& expression) {
  const std::vector<Stored> copies = copies_of(expression);
  const auto batch = static_cast<uint64_t>(state.range(0));
  Matrix x({batch, kShape.cols}), y;
  std::iota(x.values.begin(), x.values.end(), 1.0f);
  size_t turn = 0;
  for (auto _ : state) {
    apply(*copies[turn++ % kCopies].form, x.view(), y, static_cast<int>(state.range(1)));
    benchmark::DoNotOptimize(y.values.data());
  }
  count(state, copies[0].bytes.size(), batch);
}

void run_read(benchmark::State& state) {
  const std::vector<Stored> copies = copies_of("dense(bf16)");
  constexpr size_t kPart = 1 << 18;
  size_t turn = 0;
  for (auto _ : state) {
    const ByteView bytes = copies[turn++ % kCopies].bytes;
    parallel_for(static_cast<int>(state.range(1)), bytes.size() / kPart, [&](size_t i) {
      uint64_t sums[32] = {};
      const uint8_t* p = bytes.data() + i * kPart;
      for (size_t k = 0; k < kPart; k += sizeof sums) {
        uint64_t words[32];
        std::memcpy(words, p + k, sizeof words);
        for (size_t j = 0; j < 32; ++j) sums[j] |= words[j];
      }
      benchmark::DoNotOptimize(sums);
    });
  }
  count(state, copies[0].bytes.size(), 0);
}

void arguments(benchmark::internal::Benchmark* b) {
  b->ArgNames({"batch", "threads"})->UseRealTime()->Unit(benchmark::kMillisecond);
  for (const int64_t threads : {1, 2}) {
    for (const int64_t batch : {1, 2, 4, 8, 16, 32, 64, 512}) b->Args({batch, threads});
  }
}

BENCHMARK(run_read)
    ->ArgNames({"batch", "threads"})
    ->Args({0, 1})
    ->Args({0, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(run_product, bf16, "dense(bf16)")->Apply(arguments);
BENCHMARK_CAPTURE(run_product, bf16_exponent, "dense(bf16) > exponent")->Apply(arguments);
BENCHMARK_CAPTURE(run_product, f16, "dense(f16)")->Apply(arguments);
BENCHMARK_CAPTURE(run_product, f16_exponent, "dense(f16) > exponent")->Apply(arguments);
BENCHMARK_CAPTURE(run_product, f32, "dense(f32)")->Apply(arguments);

}  // namespace
}  // namespace pith::form
