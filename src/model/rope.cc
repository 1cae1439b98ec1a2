#include "rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace pith::model {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

std::vector<double> plain(double base, uint64_t size) {
  std::vector<double> frequencies(size / 2);
  for (uint64_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(size));
  }
  return frequencies;
}

void scale_llama3(const RopeScaling& s, double original, std::vector<double>& frequencies) {
  for (double& f : frequencies) {
    // How often the first context turns it round; between the bounds, a mixture.
    const double turns = original * f / kTurn;
    const double part = (turns - s.low_frequency) / (s.high_frequency - s.low_frequency);
    const double kept = std::clamp(part, 0.0, 1.0);
    f = (1 - kept) * f / s.factor + kept * f;
  }
}

// The pair that the first context turns round so often.
double pair_of_turns(double turns, double original, double base, double size) {
  return size * std::log(original / (turns * kTurn)) / (2 * std::log(base));
}

void scale_yarn(const DecoderConfig& c, double original, std::vector<double>& frequencies) {
  const RopeScaling& s = c.rope_scaling;
  const double size = c.rope_size;
  double low = pair_of_turns(s.beta_fast, original, c.rope_base, size);
  double high = pair_of_turns(s.beta_slow, original, c.rope_base, size);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, size - 1);
  const double width = std::max(high - low, 0.001);
  for (uint64_t i = 0; i < frequencies.size(); ++i) {
    const double scaled = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
    frequencies[i] *= scaled / s.factor + (1 - scaled);
  }
}

// How much larger keys and queries are made where contexts are longer.
double yarn_magnitude(const RopeScaling& s) {
  const auto of = [&](double mscale) {
    return s.factor <= 1 ? 1 : 0.1 * mscale * std::log(s.factor) + 1;
  };
  if (s.mscale != 0 && s.mscale_all != 0) return of(s.mscale) / of(s.mscale_all);
  return of(1);
}

double longrope_magnitude(const RopeScaling& s, double context, double original) {
  const double factor = s.factor != 1 ? s.factor : context / original;
  return factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original));
}

}  // namespace

Rope::Rope(const DecoderConfig& c, uint64_t length) {
  using Kind = RopeScaling::Kind;
  const RopeScaling& s = c.rope_scaling;
  const auto context = static_cast<double>(c.context);
  const auto original =
      static_cast<double>(s.original_context != 0 ? s.original_context : c.context);
  const double size = c.rope_size;
  double base = c.rope_base;
  if (s.kind == Kind::kDynamic && static_cast<double>(length) > original && size > 2) {
    const double longer = s.factor * static_cast<double>(length) / original - (s.factor - 1);
    base *= std::pow(longer, size / (size - 2));
  }
  frequencies_ = plain(base, c.rope_size);
  if (s.kind == Kind::kLinear) {
    for (double& f : frequencies_) f /= s.factor;
  }
  if (s.kind == Kind::kLlama3) scale_llama3(s, original, frequencies_);
  if (s.kind == Kind::kYarn) {
    scale_yarn(c, original, frequencies_);
    magnitude_ = yarn_magnitude(s);
  }
  if (s.kind == Kind::kLongRope) {
    const bool is_long = static_cast<double>(length) > original;
    const std::vector<double>& factors = is_long ? s.long_factors : s.short_factors;
    for (uint64_t i = 0; i < frequencies_.size(); ++i) frequencies_[i] /= factors[i];
    magnitude_ = longrope_magnitude(s, context, original);
  }
  if (s.attention_factor) magnitude_ = *s.attention_factor;
  for (uint64_t i = 0; i < s.divisors.size(); ++i) frequencies_[i] /= s.divisors[i];
}

void Rope::angles(uint64_t first, uint64_t n, float* cosines, float* sines) const {
  for (uint64_t p = first; p < first + n; ++p) {
    for (const double f : frequencies_) {
      const double angle = static_cast<double>(p) * f;
      *cosines++ = static_cast<float>(std::cos(angle) * magnitude_);
      *sines++ = static_cast<float>(std::sin(angle) * magnitude_);
    }
  }
}

}  // namespace pith::model
