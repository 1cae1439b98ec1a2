// Speeds of the entropy coders, in symbols a second, on each instruction set of this machine, and
// their overhead over the order-0 entropy ("over_bits" a symbol; exponents: of each 32768 symbols).
#include <benchmark/benchmark.h>

#include <vector>

#include "entropy_test_data.h"
#include "hwy/targets.h"
#include "pith/entropy/bitpack.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/histogram.h"
#include "pith/entropy/nibble_rans.h"

namespace pith::entropy {
namespace {

constexpr size_t kSymbols = 1 << 19, kPart = 1 << 15;

struct Case {
  Bytes symbols;
  size_t (*bound)(size_t);
  size_t (*encode)(ByteView, MutableByteView);
  void (*decode)(ByteView, MutableByteView);
};

Case exponents() {
  return {gaussian_exponents(kSymbols, 1), nibble_rans_bound, nibble_rans_encode,
          nibble_rans_decode};
}
Case weights() {
  return {gaussian_bytes(kSymbols, 1, 20), byte_rans_bound, byte_rans_encode, byte_rans_decode};
}

double entropy_by_parts(ByteView symbols) {
  double bits = 0;
  for (size_t i = 0; i < symbols.size(); i += kPart) {
    Histogram counts;
    histogram(symbols.subspan(i, kPart), counts);
    bits += entropy_bits(counts);
  }
  return bits;
}

void use_target(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().DeInit();
}

void count(benchmark::State& state, size_t symbols) {
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * symbols));
}

void run_encode(benchmark::State& state, const Case& c, int64_t target) {
  use_target(target);
  Bytes out(c.bound(c.symbols.size()));
  size_t size = 0;
  for (auto _ : state) benchmark::DoNotOptimize(size = c.encode(c.symbols, out));
  count(state, c.symbols.size());
  const double excess = 8.0 * static_cast<double>(size) - entropy_by_parts(c.symbols);
  state.counters["over_bits"] = excess / static_cast<double>(c.symbols.size());
  use_target(0);
}

void run_decode(benchmark::State& state, const Case& c, int64_t target) {
  Bytes code(c.bound(c.symbols.size())), back(c.symbols.size());
  code.resize(c.encode(c.symbols, code));
  use_target(target);
  for (auto _ : state) c.decode(code, back);
  if (back != c.symbols) state.SkipWithError("wrong symbols");
  count(state, c.symbols.size());
  use_target(0);
}

void run_histogram(benchmark::State& state, const Bytes& symbols) {
  Histogram counts;
  for (auto _ : state) {
    for (size_t i = 0; i < symbols.size(); i += kPart) {
      histogram(ByteView(symbols).subspan(i, kPart), counts);
      benchmark::DoNotOptimize(counts);
    }
  }
  count(state, symbols.size());
}

template <class T>
void run_unpack(benchmark::State& state) {
  const auto bits = static_cast<unsigned>(state.range(0));
  std::vector<T> values(kSymbols);
  const Bytes packed(bitpack_bytes(kSymbols, bits), 0x5A);
  for (auto _ : state) bitunpack<T>(packed, bits, std::span<T>(values));
  count(state, kSymbols);
}

template <class T>
void run_pack(benchmark::State& state) {
  const auto bits = static_cast<unsigned>(state.range(0));
  const std::vector<T> values(kSymbols, T{1});
  Bytes packed(bitpack_bytes(kSymbols, bits));
  for (auto _ : state) bitpack<T>(values, bits, packed);
  count(state, kSymbols);
}

void register_coders(const char* name, const Case& c, int64_t target) {
  const std::string at = std::string("/") + hwy::TargetName(target);
  benchmark::RegisterBenchmark((name + std::string("_encode") + at).c_str(),
                               [&c, target](benchmark::State& s) { run_encode(s, c, target); });
  benchmark::RegisterBenchmark((name + std::string("_decode") + at).c_str(),
                               [&c, target](benchmark::State& s) { run_decode(s, c, target); });
}

const bool kRegistered = [] {
  static const Case nibble = exponents(), byte = weights();
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    register_coders("nibble_rans", nibble, left & -left);
    register_coders("byte_rans", byte, left & -left);
  }
  benchmark::RegisterBenchmark("histogram/exponents",
                               [](benchmark::State& s) { run_histogram(s, nibble.symbols); });
  benchmark::RegisterBenchmark("histogram/weights",
                               [](benchmark::State& s) { run_histogram(s, byte.symbols); });
  return true;
}();

BENCHMARK(run_unpack<uint8_t>)->Name("bitunpack/u8")->Arg(1)->Arg(3)->Arg(4)->Arg(7);
BENCHMARK(run_unpack<uint16_t>)->Name("bitunpack/u16")->Arg(3)->Arg(7)->Arg(11);
BENCHMARK(run_unpack<uint32_t>)->Name("bitunpack/u32")->Arg(7)->Arg(20);
BENCHMARK(run_pack<uint8_t>)->Name("bitpack/u8")->Arg(3)->Arg(7);
BENCHMARK(run_pack<uint16_t>)->Name("bitpack/u16")->Arg(11);

}  // namespace
}  // namespace pith::entropy
