// Attention of one token to 16384 before it that lie in forms: eight key-value heads, one thread.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "pith/kv/attention.h"
#include "pith/kv/cache.h"

namespace pith::kv {
namespace {

constexpr uint64_t kTokens = 16384, kHeads = 8;

// Null: as they are.
constexpr const char* kForms[] = {
    nullptr,
    "dense(f16)",
    "dense(bf16)",
    "uniform(8, group=32)",
    "uniform(4, group=32)",
    "uniform(4, group=64)",
    "cache(keys=uniform(4, group=128), values=uniform(4, group=row))",
    "uniform(3, group=32)",
    "uniform(2, group=32)",
    "cache(keys=uniform(4, group=32), values=uniform(4, group=32), keys_by=token)",
    "ggml(q8_0)",
    "ggml(q4_0)",
    "cache(keys=ggml(q4_0), values=ggml(q4_0), keys_by=token)",
    "lowrank(16)",
    "sparse(50%)",
    "sparse(30%)",
    "cache(keys=sparse(30%), values=sparse(30%), keys_by=token)",
    "cache(keys=sparse(32:64), values=sparse(32:64), keys_by=token)",
    "cache(keys=sparse(19:64), values=sparse(19:64), keys_by=token)",
    "uniform(2, group=32) + lowrank(4) + sparse(2%)",
    "hadamard | uniform(4, group=32)",
    "cache(keys=hadamard | uniform(4, group=32), values=hadamard | uniform(4, group=32), "
    "keys_by=token)",
    "dct * sparse(20%)",
};

std::vector<float> noise(size_t n, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

Cache filled(const char* form, uint64_t size) {
  std::optional<CacheOptions> options;
  if (form) options = CacheOptions::parse(form);
  Cache cache({kHeads}, size, kTokens, options, kTileTokens);
  for (uint64_t t = 0; t < kTokens; t += kTileTokens) {
    const std::vector<float> some =
        noise(2 * kHeads * kTileTokens * size, static_cast<uint32_t>(t), 1);
    const float* at = some.data();
    for (uint64_t i = 0; i < kTileTokens; ++i) {
      for (uint64_t h = 0; h < kHeads; ++h, at += 2 * size) cache.write(0, h, t + i, at, at + size);
    }
    cache.settle(t + kTileTokens, 1);
  }
  return cache;
}

// Reads all of it; a multiple of 16.
void read_words(const std::vector<uint64_t>& words) {
  uint64_t sums[16] = {};
  for (size_t i = 0; i < words.size(); i += 16) {
    for (size_t k = 0; k < 16; ++k) sums[k] += words[i + k];
  }
  benchmark::DoNotOptimize(sums);
}

// Reads what is larger than the processor's caches, as the weights of a large model are.
void drive_out() {
  static const std::vector<uint64_t> words(uint64_t{96} << 17, 1);
  read_words(words);
}

void BM_AttendLong(benchmark::State& state) {
  const char* form = kForms[state.range(0)];
  const auto size = static_cast<uint64_t>(state.range(1)),
             group = static_cast<uint64_t>(state.range(2)),
             n = static_cast<uint64_t>(state.range(3));
  const bool cold = state.range(4) != 0;
  state.SetLabel(form ? form : "floats");
  static std::map<std::pair<int64_t, uint64_t>, Cache> caches;
  const auto key = std::pair(state.range(0), size);
  if (!caches.contains(key)) {
    caches.clear();
    caches.emplace(key, filled(form, size));
  }
  const Cache& cache = caches.at(key);
  const uint64_t width = kHeads * group * size;
  const std::vector<float> q = noise(n * width, 1, 1 / std::sqrt(static_cast<float>(size)));
  std::vector<float> out(q.size());
  for (auto _ : state) {
    if (cold) {
      state.PauseTiming();
      drive_out();
      state.ResumeTiming();
    }
    for (uint64_t h = 0; h < kHeads; ++h) {
      const SharedHead head{.queries = q.data() + h * group * size,
                            .out = out.data() + h * group * size,
                            .stride = width,
                            .group = group,
                            .head_size = size,
                            .first = kTokens - n,
                            .keys = cache.keys(0, h),
                            .values = cache.values(0, h),
                            .base = cache.base(),
                            .past = cache.past(0, h),
                            .padded_size = cache.padded_size()};
      for (uint64_t r = 0; r < n * group; r += 32) attend(head, r, std::min(r + 32, n * group));
    }
    benchmark::DoNotOptimize(out.data());
  }
  const double floats = 4.0 * 2 * kHeads * static_cast<double>((kTokens - cache.base()) * size);
  const double bytes = static_cast<double>(cache.past_bits()) / 8 + floats;
  state.counters["bytes"] = bytes;
  state.counters["GB/s"] =
      benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
}
// On a machine that others use too, the least of many repetitions says what a kernel takes.
double least(const std::vector<double>& v) { return *std::ranges::min_element(v); }

BENCHMARK(BM_AttendLong)
    ->ArgsProduct(
        {benchmark::CreateDenseRange(0, std::size(kForms) - 1, 1), {64, 128}, {1, 4}, {1}, {0, 1}})
    ->ComputeStatistics("least", least)
    ->Unit(benchmark::kMillisecond);

// What memory gives: sums of so many megabytes.
void BM_Read(benchmark::State& state) {
  const std::vector<uint64_t> words(static_cast<uint64_t>(state.range(0)) << 17, 1);
  for (auto _ : state) read_words(words);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(8 * words.size()));
}
BENCHMARK(BM_Read)
    ->Arg(4)
    ->Arg(10)
    ->Arg(32)
    ->Arg(128)
    ->ComputeStatistics("least", least)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pith::kv
