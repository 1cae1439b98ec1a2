// What a decoder does to its vectors between the matrices.
//
// Pure: no allocation, any length (also 0), no alignment asked. Results depend on nothing but the
// arguments.
#pragma once

#include <cstdint>

#include "pith/model/config.h"

namespace pith::model {

// out = x / sqrt(mean(x²) + eps) * weight; out may be x.
void rms_norm(const float* x, const float* weight, uint64_t n, float eps, float* out);

// to += x; to += scale * x.
void add(const float* x, uint64_t n, float* to);
void add_scaled(const float* x, float scale, uint64_t n, float* to);

// gate = silu(gate) * up, silu(x) = x / (1 + e^-x).
void silu_times(const float* up, uint64_t n, float* gate);

// x = e^x / sum of all; the largest is subtracted first. No element: nothing.
void softmax(uint64_t n, float* x);

// Turns the first 2 * pairs elements of each head: pair i by the angle whose cosine and sine are
// given, times `scale` (which also goes to the elements after them).
struct Rotation {
  RopeLayout layout = RopeLayout::kHalves;
  uint64_t heads = 0, head_size = 0, pairs = 0;
  const float *cosines = nullptr, *sines = nullptr;
  float scale = 1;
};
void rotate(const Rotation& rotation, float* heads);

}  // namespace pith::model
