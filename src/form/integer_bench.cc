// Products with integers, and decoding them.
#include "product_bench.h"

namespace pith::form {
namespace {

const bool registered =
    register_products({1024, 4096}, {"integer(2, states=1) > rans", "integer(4, states=1) > rans",
                                     "integer(2) > rans", "integer(3) > rans", "integer(4) > rans",
                                     "integer(8.5) > rans", "uniform(4) > rans"});

void decode_all(benchmark::State& state, const std::string& expression) {
  const Shape shape{1024, static_cast<uint64_t>(state.range(0))};
  const FormPtr form = encode(parse(expression), noise(shape, 1).view());
  Matrix m(shape);
  for (auto _ : state) form->decode(0, shape.rows, m.values.data());
  const auto weights = static_cast<double>(state.iterations() * shape.size());
  state.counters["Gweights/s"] = benchmark::Counter(weights / 1e9, benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(decode_all, 2_of_1, "integer(2, states=1) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 4_of_1, "integer(4, states=1) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 2_of_8, "integer(2) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 3_of_8, "integer(3) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 4_of_8, "integer(4) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 8_of_8, "integer(8.5) > rans")->Arg(896)->Arg(4096);

}  // namespace
}  // namespace pith::form
