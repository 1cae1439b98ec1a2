// Scales of GGML's blocks by least squares. A group of elements shares a scale, x ≈ scale * level
// or x ≈ scale * level - least; in the two-level types the scales of a block's groups are small
// integers times one f16.
//
// Each search tries scales around the one that just fits the largest element, takes the
// least-squares scale of the codes that this gives, and goes from there to the codes of that scale
// and again to their scale, which only lowers the squared error. Each element's square counts h
// times: finite and not negative, at most about 1. Sums are kept in eight lanes in a
// fixed order: the same result on every machine, and loops that compilers turn into vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "ggml_tables.h"

namespace pith::form::ggml {

// Integers from least to most.
struct IntegerLevels {
  float least, most;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, ties to even.
  float nearest(float v) const {
    v = v < least ? least : v;
    v = v > most ? most : v;
    return (v + 0x1.8p23f) - 0x1.8p23f;
  }
};

struct Iq4Levels {
  float nearest(float v) const { return static_cast<float>(kIq4[code(v)]); }
  static uint8_t code(float v);
};

// Scales that are tried bring the largest element to `from` … `to` levels, in so many steps.
struct Search {
  float from, to;
  int steps;
};

// x ≈ scale * level: the scale, not rounded. `both`: levels are not symmetric, so that negative
// scales may be better.
template <int kSize, class Levels>
float fit_scale(const float* x, const float* h, const Levels& levels, Search search, bool both);

// x ≈ scale * level + zero, levels from 0 to `most`.
struct Line {
  float scale = 0, zero = 0;
};
// `down`: the zero point may not be above 0.
template <int kSize>
Line fit_line(const float* x, const float* h, float most, Search search, bool down);

// Sixteen or eight groups with x ≈ (d * scale) * level.
struct ScaledGroups {
  float d = 0;  // a value of f16
  std::array<int, 16> scale{};
};
// Scales are integers from -most to most - 1.
template <int kSize, int kGroups, class Levels>
ScaledGroups fit_scaled(const float* x, const float* h, const Levels& levels, Search search,
                        int most);
// The integer of one group, with d as it is.
template <int kSize, class Levels>
int refit_scaled(const float* x, const float* h, const Levels& levels, Search search, int most,
                 float d);

// Groups with x ≈ (d * scale) * level - (dmin * least), levels from 0 to `most`, scales and minima
// integers from 0 to most_scale.
struct LineGroups {
  float d = 0, dmin = 0;  // values of f16
  std::array<int, 16> scale{}, least{};
};
template <int kSize, int kGroups>
LineGroups fit_lines(const float* x, const float* h, float most, Search search, int most_scale);
// The scale and the least of one group, with d and dmin as they are.
template <int kSize>
std::pair<int, int> refit_line(const float* x, const float* h, float most, Search search,
                               int most_scale, float d, float dmin);

// x ≈ d * level, level -1, 0 or 1, of 256 elements: the best there is. d is a value of f16.
float fit_ternary(const float* x);

}  // namespace pith::form::ggml
