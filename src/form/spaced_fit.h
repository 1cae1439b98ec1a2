// How well levels that are spaced by one fit a group of elements: the inner loop of encoding.
#pragma once

#include <cstdint>
#include <span>

namespace pith::form {

// Levels first, first + 1, … last; element ~ scale * level + zero.
struct SpacedLevels {
  float first = 0, last = 0;
};

// Sums over a group, each element at its nearest level l.
struct LevelSums {
  double error = 0;  // of (w - scale * l - zero)^2
  double l = 0, ll = 0, wl = 0;
};
// importance: of each element, which all its terms are multiplied by; empty where all are 1.
LevelSums spaced_sums(std::span<const float> w, std::span<const float> importance,
                      SpacedLevels levels, float scale, float zero);

// l - first for each element; those of 0 with a scale of 0.
void spaced_codes(std::span<const float> w, SpacedLevels levels, float scale, float zero,
                  uint8_t* codes);

}  // namespace pith::form
