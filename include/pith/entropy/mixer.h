// Logistic mixing of predictions in integers (Mahoney, "Adaptive Weighing of Context Models for
// Lossless Data Compression", 2005; lpaq).
//
// Predictions are mixed in the domain stretch(p) = ln(p / (1 - p)), in units of 2^-8, by weights in
// units of 2^-16 that follow the gradient of the coding cost. The tables come from an integer
// recurrence at compile time: no floating-point number decides a bit.
#pragma once

#include <array>
#include <cstdint>

#include "pith/entropy/binary_coder.h"
#include "pith/entropy/fixed_exp.h"

namespace pith::entropy {

// |stretch| never exceeds this: ln(65535) in units of 2^-8, rounded down.
inline constexpr int32_t kStretchLimit = 2832;

namespace detail {

// squash at -kStretchLimit .. kStretchLimit, P(1) in units of 2^-16.
inline constexpr auto kSquash = [] {
  std::array<uint16_t, 2 * kStretchLimit + 1> table{};
  const uint64_t step = exp_minus(1, 256);
  uint64_t e = kFixedOne;  // exp(-x / 256)
  for (int32_t x = 0; x <= kStretchLimit; ++x) {
    const uint64_t p = (uint64_t{1} << 46) / ((kFixedOne + e) >> 32);  // 2^16 / (1 + e)
    const uint32_t p16 = uint32_t(std::min<uint64_t>(p, 65535));
    table[size_t(kStretchLimit + x)] = uint16_t(p16);
    table[size_t(kStretchLimit - x)] = uint16_t(65536 - p16);
    e = fixed_mul(e, step);
  }
  return table;
}();

// stretch at the middle of 4096 equal steps of probability.
inline constexpr auto kStretch = [] {
  std::array<int16_t, 4096> table{};
  int32_t x = -kStretchLimit;
  for (uint32_t i = 0; i < 4096; ++i) {
    while (x < kStretchLimit && kSquash[size_t(x + 1 + kStretchLimit)] <= i * 16 + 8) ++x;
    table[i] = int16_t(x);
  }
  return table;
}();

}  // namespace detail

// ln(p / (1 - p)) in units of 2^-8 for p in units of 2^-16, p < 65536.
inline int32_t stretch(uint32_t p16) { return detail::kStretch[p16 >> 4]; }

// Its inverse, in [1, 65535]; x is clamped to the range of stretch.
inline uint32_t squash(int32_t x) {
  x = std::clamp(x, -kStretchLimit, kStretchLimit);
  return detail::kSquash[size_t(x + kStretchLimit)];
}

// How far a counter is believed after n observations, in units of 2^-8: a fresh one not at all.
inline constexpr std::array<uint16_t, 1024> kConfidence = [] {
  std::array<uint16_t, 1024> c{};
  for (uint32_t n = 0; n < 1024; ++n) c[n] = uint16_t(256 * n / (n + 12));
  return c;
}();

// A counter's prediction as a mixer input.
inline int32_t mixer_input(const AdaptiveBit& bit) {
  return stretch(bit.p16()) * int32_t(kConfidence[bit.count()]) >> 8;
}

// Weighted sum of inputs, the weights in units of 2^-16, as a stretch.
inline int32_t mix(const int32_t* inputs, const int32_t* weights, uint32_t n) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < n; ++i) sum += int64_t(inputs[i]) * weights[i];
  return int32_t(std::clamp<int64_t>(sum >> 16, -kStretchLimit, kStretchLimit));
}

// The learning rate of a weight set after `seen` bits: falls as 1/seen to a floor.
inline constexpr uint32_t kRateFloor = 16, kRateStart = 80;
inline uint32_t learning_rate(uint32_t seen) { return kRateFloor + kRateStart * 16 / (seen + 16); }

// Weights stay within a gain of 256, which bounds mix().
inline constexpr int32_t kWeightLimit = 1 << 24;

// One gradient step after `bit` was coded with the mixed probability p1; rate <= 1023.
inline void learn(const int32_t* inputs, int32_t* weights, uint32_t n, uint32_t bit, uint32_t p1,
                  uint32_t rate) {
  const int32_t error = (int32_t(bit) << 16) - int32_t(p1);
  for (uint32_t i = 0; i < n; ++i) {
    const int32_t step = ((error * inputs[i] >> 10) * int32_t(rate) + (1 << 9)) >> 10;
    weights[i] = std::clamp(weights[i] + step, -kWeightLimit, kWeightLimit);
  }
}

}  // namespace pith::entropy
