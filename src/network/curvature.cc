#include "pith/network/curvature.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/random.h"

namespace pith::network {
namespace {

uint64_t width_of(const Tensor& logits, std::span<const int> classes) {
  if (logits.rank() != 2 || logits.dim(0) != classes.size() || logits.dim(1) == 0) {
    fail(ErrorKind::kUsage, "logits of another shape than [{}, classes]", classes.size());
  }
  for (const int c : classes) {
    if (c < 0 || static_cast<uint64_t>(c) >= logits.dim(1))
      fail(ErrorKind::kUsage, "class {} of {}", c, logits.dim(1));
  }
  return logits.dim(1);
}

}  // namespace

double cross_entropy(const Tensor& logits, std::span<const int> classes) {
  const uint64_t n = width_of(logits, classes);
  double sum = 0;
  for (size_t r = 0; r < classes.size(); ++r) {
    const std::span<const float> row = logits.floats().subspan(r * n, n);
    const double most = *std::ranges::max_element(row);
    double all = 0;
    for (const float v : row) all += std::exp(v - most);
    sum += std::log(all) + most - row[static_cast<size_t>(classes[r])];
  }
  return sum / static_cast<double>(classes.size());
}

double accuracy(const Tensor& logits, std::span<const int> classes) {
  const uint64_t n = width_of(logits, classes);
  size_t right = 0;
  for (size_t r = 0; r < classes.size(); ++r) {
    const std::span<const float> row = logits.floats().subspan(r * n, n);
    right += std::ranges::max_element(row) - row.begin() == classes[r];
  }
  return static_cast<double>(right) / static_cast<double>(classes.size());
}

double mean_curvature(const Network& network, size_t layer,
                      const std::function<double(const Network&)>& loss,
                      const TraceOptions& options) {
  const form::Matrix weights = network.decoded(layer);
  double squares = 0;
  for (const float w : weights.values) squares += static_cast<double>(w) * w;
  const auto n = static_cast<double>(weights.values.size());
  const double step = options.step * std::sqrt(squares / n);
  if (!(step > 0)) return 0;
  const form::Expression dense = form::parse("dense(f32)");
  const double middle = loss(network);
  double sum = 0;
  for (int probe = 0; probe < options.probes; ++probe) {
    double around = 0;
    for (const double sign : {1.0, -1.0}) {
      form::Matrix moved = weights;
      for (size_t i = 0; i < moved.values.size(); ++i) {
        const uint64_t bits = random_bits(options.seed + static_cast<uint64_t>(probe), i / 64);
        const double v = (bits >> (i % 64) & 1) != 0 ? sign * step : -sign * step;
        moved.values[i] = static_cast<float>(moved.values[i] + v);
      }
      Network other = network;
      other.set_form(layer, form::encode(dense, moved.view()));
      around += loss(other);
    }
    sum += (around - 2 * middle) / (step * step);
  }
  return sum / options.probes / n;
}

}  // namespace pith::network
