#include "pith/network/activation_samples.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::network {
namespace {

double squared_error(std::span<const float> x, const ActivationSamples::Codes& codes) {
  double sum = 0;
  for (const float v : x) {
    const double q = std::clamp(std::floor(v / codes.scale + 0.5), static_cast<double>(codes.low),
                                static_cast<double>(codes.high));
    sum += (v - q * codes.scale) * (v - q * codes.scale);
  }
  return sum;
}

}  // namespace

ActivationSamples::ActivationSamples(const Network& network, const Tensor& input, uint64_t most,
                                     int threads) {
  RunOptions options{.threads = threads};
  options.values = [&](std::string_view name, const Tensor& value) {
    if (!value.is_float() || value.size() == 0) return;
    const std::span<const float> x = value.floats();
    const uint64_t step = (x.size() + most - 1) / most;
    Sample& sample = samples_[std::string(name)] = {value.dims(), {}};
    std::vector<float>& kept = sample.kept;
    for (uint64_t i = 0; i < x.size(); i += step) kept.push_back(x[i]);
    // The extremes, too: ranges are to hold all that was seen.
    const auto [low, high] = std::ranges::minmax(x);
    kept.push_back(low);
    kept.push_back(high);
  };
  network.run({input}, options);
}

const ActivationSamples::Sample& ActivationSamples::find(std::string_view value) const {
  const auto at = samples_.find(value);
  if (at == samples_.end()) fail(ErrorKind::kUsage, "no value '{}' was seen", value);
  return at->second;
}

std::span<const float> ActivationSamples::of(std::string_view value) const {
  return find(value).kept;
}

const Dims& ActivationSamples::dims(std::string_view value) const { return find(value).dims; }

ActivationSamples::Codes ActivationSamples::whole(std::string_view value, int bits) const {
  const auto [low, high] = std::ranges::minmax(of(value));
  if (!std::isfinite(low) || !std::isfinite(high)) {
    fail(ErrorKind::kData, "value '{}' is infinite or no number", value);
  }
  Codes c;
  c.low = low < 0 ? -(1 << (bits - 1)) : 0;
  c.high = (low < 0 ? 1 << (bits - 1) : 1 << bits) - 1;
  c.scale = std::max(
      {static_cast<double>(high) / c.high, low < 0 ? static_cast<double>(low) / c.low : 0, 1e-30});
  return c;
}

ActivationSamples::Codes ActivationSamples::codes(std::string_view value, int bits) const {
  constexpr int kSteps = 40;
  const Codes all = whole(value, bits);
  Codes best = all;
  double least = HUGE_VAL;
  for (int k = 0; k < kSteps; ++k) {
    Codes tried = all;
    tried.scale *= 1 - 0.8 * k / kSteps;
    const double error = squared_error(of(value), tried);
    if (error < least) {
      least = error;
      best = tried;
    }
  }
  return best;
}

}  // namespace pith::network
