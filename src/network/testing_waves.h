// Waves in a box, as tools/train_waves.py makes them, and surrogates that go on with them.
// Test-only.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "pith/base/random.h"
#include "pith/network/network.h"

namespace pith::network::testing {

inline constexpr uint64_t kWaveSide = 24, kWaveCells = kWaveSide * kWaveSide;
// Numbers from here on were not trained with.
inline constexpr uint64_t kHeldOutWaves = 1 << 20;

using Heights = std::vector<float>;  // of a membrane that is held at its edges, row by row

// A membrane at rest with three drops.
inline Heights drops(uint64_t number) {
  const auto unit = [&](uint64_t k) {
    const uint64_t bits = random_bits(0, number * 16 + (uint64_t{1} << 41) + k) >> 40;
    return static_cast<double>(bits) / (1 << 24);
  };
  std::vector<double> sum(kWaveCells);
  for (uint64_t k = 0; k < 3; ++k) {
    const double cy = 4 + 15 * unit(3 * k), cx = 4 + 15 * unit(3 * k + 1);
    const double height = 2 * unit(3 * k + 2) - 1;
    for (uint64_t i = 0; i < kWaveCells; ++i) {
      const double y = static_cast<double>(i / kWaveSide) - cy;
      const double x = static_cast<double>(i % kWaveSide) - cx;
      sum[i] += height * std::exp(-(y * y + x * x) / 6);
    }
  }
  return {sum.begin(), sum.end()};
}

// A second difference of the wave equation in time and space further; Courant's number is 1/2.
inline Heights after(const Heights& before, const Heights& now) {
  Heights next(kWaveCells);
  for (uint64_t y = 0; y < kWaveSide; ++y) {
    for (uint64_t x = 0; x < kWaveSide; ++x) {
      const uint64_t i = y * kWaveSide + x;
      const float up = y > 0 ? now[i - kWaveSide] : 0, left = x > 0 ? now[i - 1] : 0;
      const float down = y + 1 < kWaveSide ? now[i + kWaveSide] : 0;
      const float right = x + 1 < kWaveSide ? now[i + 1] : 0;
      next[i] = 2 * now[i] - before[i] + 0.25f * (up + down + left + right - 4 * now[i]);
    }
  }
  return next;
}

// The states after 0, 1, … steps, each of four differences.
inline std::vector<Heights> motion(uint64_t number, uint64_t steps) {
  Heights now = drops(number), before = now;
  std::vector<Heights> states = {now};
  for (uint64_t s = 1; s <= 4 * steps; ++s) {
    Heights next = after(before, now);
    before = std::move(now);
    now = std::move(next);
    if (s % 4 == 0) states.push_back(now);
  }
  return states;
}

inline std::vector<std::vector<Heights>> motions(uint64_t first, uint64_t count, uint64_t steps) {
  std::vector<std::vector<Heights>> out;
  for (uint64_t n = first; n < first + count; ++n) out.push_back(motion(n, steps));
  return out;
}

// By how much a surrogate is off after each step that it goes on from the first two states: the
// root of the squared error over the squares, of all motions together.
inline std::vector<double> rollout_errors(const Network& net,
                                          const std::vector<std::vector<Heights>>& motions) {
  const uint64_t count = motions.size();
  std::vector<float> states;  // of each motion the one before and the one now
  for (const std::vector<Heights>& m : motions) {
    states.insert(states.end(), m[0].begin(), m[0].end());
    states.insert(states.end(), m[1].begin(), m[1].end());
  }
  std::vector<double> errors;
  for (uint64_t s = 2; s < motions[0].size(); ++s) {
    const Tensor next = net.run({Tensor({count, 2, kWaveSide, kWaveSide}, states)}).at(0);
    double wrong = 0, size = 0;
    for (uint64_t n = 0; n < count; ++n) {
      float* before = states.data() + 2 * n * kWaveCells;
      float* now = before + kWaveCells;
      std::copy_n(now, kWaveCells, before);
      std::copy_n(next.floats().data() + n * kWaveCells, kWaveCells, now);
      for (uint64_t i = 0; i < kWaveCells; ++i) {
        const double right = motions[n][s][i], off = now[i] - right;
        wrong += off * off;
        size += right * right;
      }
    }
    errors.push_back(std::sqrt(wrong / size));
  }
  return errors;
}

}  // namespace pith::network::testing
