// Integers: how near they come to the rate-distortion bound, and how fast they are encoded, decoded
// and multiplied.
#include <cmath>

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
BENCHMARK_CAPTURE(decode_all, 2_of_64, "integer(2) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 4_of_64, "integer(4) > rans")->Arg(896)->Arg(4096);
BENCHMARK_CAPTURE(decode_all, 8_of_64, "integer(8.5) > rans")->Arg(896)->Arg(4096);

// Normal variables whose rows and columns have deviations of their own, log-normal ones of this
// sigma.
struct Variables {
  Matrix matrix;
  std::vector<double> variances;  // of the elements
};

Variables variables(Shape shape, double sigma) {
  const Matrix rows = noise({shape.rows, 1}, 2, 1), columns = noise({1, shape.cols}, 3, 1);
  Variables v{noise(shape, 1, 1), {}};
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c) {
      const double deviation = std::exp(sigma * (rows.values[r] + columns.values[c]));
      v.matrix.row(r)[c] *= static_cast<float>(deviation);
      v.variances.push_back(deviation * deviation);
    }
  }
  return v;
}

// Bits an element that variables of these variances need for this mean squared error (reverse
// water-filling).
double bound(const std::vector<double>& variances, double error) {
  double low = -80, high = 80;
  for (int i = 0; i < 60; ++i) {
    const double level = std::exp2((low + high) / 2);
    double sum = 0;
    for (const double v : variances) sum += std::min(v, level);
    (sum > error * static_cast<double>(variances.size()) ? high : low) = (low + high) / 2;
  }
  double bits = 0;
  for (const double v : variances) bits += std::max(0.0, (std::log2(v) - low) / 2);
  return bits / static_cast<double>(variances.size());
}

// Arguments: rows, columns, hundredths of sigma, states, tenths of bits.
void above_bound(benchmark::State& state) {
  const Shape shape{static_cast<uint64_t>(state.range(0)), static_cast<uint64_t>(state.range(1))};
  const Variables v = variables(shape, static_cast<double>(state.range(2)) / 100);
  const std::string expression = fmt::format(
      "integer({}, states={}) > rans", static_cast<double>(state.range(4)) / 10, state.range(3));
  FormPtr form;
  for (auto _ : state) form = encode(parse(expression), v.matrix.view());
  const Matrix got = decode(*form);
  double error = 0;
  for (size_t i = 0; i < got.values.size(); ++i)
    error += std::pow(double{got.values[i]} - v.matrix.values[i], 2);
  const auto elements = static_cast<double>(shape.size());
  state.counters["bits"] = static_cast<double>(bits(*form)) / elements;
  state.counters["above"] =
      static_cast<double>(bits(*form)) / elements - bound(v.variances, error / elements);
}
BENCHMARK(above_bound)
    ->ArgsProduct({{2048}, {2048}, {0}, {1, 4, 8, 64, 256}, {10, 20, 30, 40, 60, 85}})
    ->ArgsProduct({{2048}, {2048}, {50}, {1, 64}, {20, 30, 40}})
    ->ArgsProduct({{256, 768}, {256}, {0, 50}, {64}, {20, 30, 40}})
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pith::form
