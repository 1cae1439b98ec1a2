#include "integer_search.h"

#include <cmath>

namespace pith::form {
namespace {

float squared(float v) { return v * v; }

// Within what codes there are; what is no number is zero.
float limited(float wanted) {
  constexpr float kMost = kMostInteger - 2;
  return wanted > kMost ? kMost : wanted < -kMost ? -kMost : wanted == wanted ? wanted : 0.0f;
}

// One by one: the nearest, the one next to it towards zero, or zero.
void search_plain(const IntegerCosts& costs, std::span<const IntegerTarget> targets, float lambda,
                  int16_t* codes) {
  for (size_t r = 0; r < targets.size(); ++r) {
    const float w = limited(targets[r].wanted);
    const int nearest = static_cast<int>(std::nearbyint(w));
    int best = nearest;
    if (lambda > 0 && nearest != 0) {
      float least = INFINITY;
      for (const int code : {nearest, nearest + (nearest > 0 ? -1 : 1), 0}) {
        const float cost = squared(w - static_cast<float>(code)) +
                           lambda * costs.bits(0, targets[r].integer_class, code);
        if (cost >= least) continue;
        least = cost;
        best = code;
      }
    }
    codes[r] = static_cast<int16_t>(best);
  }
}

// The best code of each parity in even (first) and odd states, and its cost.
struct Candidates {
  std::array<std::array<int16_t, 2>, 2> code;
  std::array<std::array<float, 2>, 2> cost;
};

Candidates candidates_of(const IntegerCosts& costs, const IntegerTarget& target, float lambda) {
  const float w = limited(target.wanted), size = std::fabs(w);
  const int sign = w < 0 ? -1 : 1;
  Candidates out;
  for (uint8_t odd = 0; odd < 2; ++odd) {
    // Codes on both sides of w have both parities.
    const int below = static_cast<int>(std::floor(odd != 0 ? size + 0.5f : size));
    const auto consider = [&](int magnitude, bool first) {
      const int code = sign * magnitude;
      const float level = integer_level(magnitude, odd);
      const float cost = squared(size - level) +
                         (lambda > 0 ? lambda * costs.bits(odd, target.integer_class, code) : 0.0f);
      const auto parity = static_cast<size_t>(magnitude & 1);
      if (!first && cost >= out.cost[odd][parity]) return;
      out.code[odd][parity] = static_cast<int16_t>(code);
      out.cost[odd][parity] = cost;
    };
    consider(below, true);
    consider(below + 1, true);
    if (lambda > 0 && below > 0) {
      consider(below - 1, false);
      if (below == 2 || below == 1) consider(0, false);
    }
  }
  return out;
}

}  // namespace

double integer_distortion(int states) {
  // Granular gains of Ungerboeck's trellises: Marcellin & Fischer 1990.
  switch (states) {
    case 1:
      return 1.0 / 12;
    case 4:
      return 0.0663;
    case 8:
      return 0.0648;
    default:
      return 0.0635;
  }
}

void search_integers(const IntegerTrellis& trellis, const IntegerCosts& costs,
                     std::span<const IntegerTarget> targets, float lambda, int16_t* codes) {
  if (trellis.states() == 1) return search_plain(costs, targets, lambda, codes);
  const auto states = static_cast<size_t>(trellis.states());
  std::array<Candidates, kIntegerRows> candidates;
  // The state before on the best path to each, and the parity of the code between.
  std::array<std::array<uint8_t, kMostIntegerStates>, kIntegerRows> before;
  std::array<float, kMostIntegerStates> path, next;
  path.fill(INFINITY);
  path[0] = 0;
  for (size_t r = 0; r < targets.size(); ++r) {
    candidates[r] = candidates_of(costs, targets[r], lambda);
    next.fill(INFINITY);
    for (size_t s = 0; s < states; ++s) {
      for (uint8_t parity = 0; parity < 2; ++parity) {
        const uint8_t to = trellis.next(static_cast<uint8_t>(s), parity);
        const float cost = path[s] + candidates[r].cost[s & 1][parity];
        if (!(cost < next[to])) continue;
        next[to] = cost;
        before[r][to] = static_cast<uint8_t>(s << 1 | parity);
      }
    }
    path = next;
  }
  size_t state = 0;
  for (size_t s = 1; s < states; ++s) {
    if (path[s] < path[state]) state = s;
  }
  for (size_t r = targets.size(); r-- > 0;) {
    const uint8_t step = before[r][state];
    state = step >> 1;
    codes[r] = candidates[r].code[state & 1][step & 1];
  }
}

}  // namespace pith::form
