// Products with sparse forms, factors and bases beside the dense form that they stand for: weights
// a second, whether kept or not, and what is read of memory for them.
#include <cmath>
#include <ctime>

#include "product_bench.h"
#include "uneven_rows.h"

namespace pith::form {
namespace {

const bool registered = register_products({2048, 4096}, {"dense(f32)",
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
                                                         "hadamard | dense(f16)"});

// Blocks of 16 in 4 bits, of which the first rows have nearly all, shared out among so many cores
// by rows, as many for each, or by blocks, as apply() does: the part that takes longest, alone.
void skewed(benchmark::State& state, bool by_rows) {
  constexpr uint64_t kRows = 4096;
  static const FormPtr form = [] {
    Matrix m = noise({kRows, 4096}, 1);
    for (uint64_t r = 512; r < kRows; ++r) {
      for (float& v : m.row(r)) v *= r % 8 == 0 ? 0.5f : 0.1f;
    }
    return encode(parse("sparse(15%, block=16, values=uniform(4, group=16, zero=true))"), m.view());
  }();
  const auto parts = static_cast<uint64_t>(state.range(0));
  const Matrix x = noise({1, 4096}, 2);
  Matrix y({1, kRows});
  const Activations activations(x.view());
  const auto begin = [&](uint64_t part) {
    return by_rows ? part * kRows / parts
                   : dynamic_cast<const UnevenRows&>(*form).part_begin(activations, part, parts);
  };
  const auto run = [&](uint64_t part) {
    form->multiply(activations, begin(part), begin(part + 1), y.values.data(), kRows);
  };
  uint64_t longest = 0;
  double most = 0;
  for (uint64_t part = 0; part < parts; ++part) {
    double least = INFINITY;
    for (int i = 0; i < 20; ++i) {
      const std::clock_t start = std::clock();
      run(part);
      least = std::min(least, static_cast<double>(std::clock() - start));
    }
    if (least > most) {
      most = least;
      longest = part;
    }
  }
  for (auto _ : state) {
    run(longest);
    benchmark::DoNotOptimize(y.values.data());
  }
}

void skewed_by_rows(benchmark::State& state) { skewed(state, true); }
void skewed_by_blocks(benchmark::State& state) { skewed(state, false); }
BENCHMARK(skewed_by_rows)->Arg(1)->Arg(2)->Arg(4)->Arg(8);
BENCHMARK(skewed_by_blocks)->Arg(1)->Arg(2)->Arg(4)->Arg(8);

}  // namespace
}  // namespace pith::form
