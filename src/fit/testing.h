// Weights and inputs to fit.
#pragma once

#include <cmath>
#include <random>

#include "pith/base/error.h"
#include "pith/fit/metric.h"
#include "pith/form/form.h"

namespace pith::fit {

inline form::Matrix noise(form::Shape shape, uint32_t seed, float size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, size);
  form::Matrix m(shape);
  for (float& v : m.values) v = normal(random);
  return m;
}

// Inputs of a few strong directions, which all channels share, and a bit of noise, as a language
// model's are; channels differ in size.
inline form::Matrix correlated(uint64_t tokens, uint64_t channels, uint32_t seed) {
  const uint64_t strong = std::max<uint64_t>(1, channels / 8);
  const form::Matrix hidden = noise({tokens, strong}, seed), mix = noise({strong, channels}, 99);
  form::Matrix x = noise({tokens, channels}, seed + 1, 0.3f);
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 0; c < channels; ++c) {
      for (uint64_t k = 0; k < strong; ++k) {
        x.row(t)[c] += hidden.view().row(t)[k] * mix.view().row(k)[c];
      }
      x.row(t)[c] *= 0.25f + static_cast<float>(c % 7);
    }
  }
  return x;
}

inline Metric metric_of(const form::Matrix& inputs) {
  SecondMoment moment(inputs.shape.cols);
  moment.add(inputs.view(), 1);
  return Metric::of(std::move(moment));
}

inline double error_of(const Metric& metric, const form::Matrix& weights, const form::Form& form) {
  return error(metric, weights.view(), form::decode(form).view(), 1);
}

// What is refused and why; empty if nothing is.
template <class Function>
std::string refusal(const Function& function) {
  try {
    function();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace pith::fit
