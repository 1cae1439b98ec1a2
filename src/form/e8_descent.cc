#include "e8_descent.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

namespace pith::form {
namespace {

constexpr size_t kNeighbours = kE8Neighbours;
constexpr int kMostSteps = 16;
// From the point that is best among its neighbours, so many of the nearest of these are begun from.
constexpr int kDetours = 2;
// A step is taken where it gains more than rounding might say it does.
constexpr float kLeastGain = 1e-5f;

// The shortest vectors, and which pattern has these magnitudes of halves.
struct Tables {
  alignas(64) E8Columns columns;
  std::array<E8Vector, kNeighbours> vectors;
  std::array<int16_t, 6561> patterns;  // by digits (magnitude - 2) / 4; -1: none
};

Tables make() {
  Tables t;
  for (size_t i = 0; i < kNeighbours; ++i) {
    std::memcpy(t.vectors[i].data(), &e8_tables().short_vectors[i + 1], kE8);
    for (size_t k = 0; k < kE8; ++k) t.columns[k][i] = t.vectors[i][k];
  }
  t.patterns.fill(-1);
  for (size_t p = 0; p < 256; ++p) {
    E8Vector v;
    std::memcpy(v.data(), &e8_tables().patterns[p], kE8);
    size_t key = 0;
    for (const int8_t x : v) key = 3 * key + static_cast<size_t>((std::abs(x) - 2) / 4);
    t.patterns[key] = static_cast<int16_t>(p);
  }
  return t;
}

const Tables& tables() {
  static const Tables t = make();
  return t;
}

// None where no code stands for the point.
std::optional<uint16_t> code_of(const E8Vector& v) {
  const int shift = (v[0] & 3) == 3 ? 1 : -1;
  size_t key = 0;
  unsigned negative = 0;
  for (size_t k = 0; k < kE8; ++k) {
    const int half = v[k] - shift, size = std::abs(half);
    if (size > 10) return std::nullopt;
    key = 3 * key + static_cast<size_t>((size - 2) / 4);
    negative |= static_cast<unsigned>(half < 0) << k;
  }
  const int16_t pattern = tables().patterns[key];
  if (pattern < 0) return std::nullopt;
  const auto code = static_cast<uint16_t>(static_cast<unsigned>(pattern) | (negative & 127) << 8 |
                                          (shift > 0 ? 1u << 15 : 0));
  if (e8_vector(code) != v) return std::nullopt;
  return code;
}

E8Vector neighbour(const E8Vector& point, size_t n) {
  E8Vector next;
  for (size_t k = 0; k < kE8; ++k) {
    next[k] = static_cast<int8_t>(point[k] + tables().vectors[n][k]);
  }
  return next;
}

}  // namespace

E8Descent::E8Descent(std::span<const double> metric) {
  for (size_t i = 0; i < metric_.size(); ++i) metric_[i] = static_cast<float>(metric[i]);
  for (size_t n = 0; n < kNeighbours; ++n) {
    const E8Vector& v = tables().vectors[n];
    float sum = 0;
    for (size_t i = 0; i < kE8; ++i) {
      for (size_t j = 0; j < kE8; ++j)
        sum += metric_[i * kE8 + j] * static_cast<float>(v[i] * v[j]);
    }
    lengths_[n] = sum;
    least_gains_[n] = kLeastGain * sum;
  }
}

size_t E8Descent::changes(const float* x, const E8Vector& point, E8Changes& change,
                          uint8_t* nearer) const {
  std::array<float, kE8> slope{};
  for (size_t i = 0; i < kE8; ++i) {
    const float e = x[i] - static_cast<float>(point[i]);
    for (size_t j = 0; j < kE8; ++j) slope[j] += 2 * e * metric_[i * kE8 + j];
  }
  return e8_changes(tables().columns, lengths_, least_gains_, slope.data(), change, nearer);
}

float E8Descent::descend(const float* x, uint16_t& code, E8Changes& change) const {
  E8Vector point = e8_vector(code);
  float gained = 0;
  std::array<uint8_t, kNeighbours> nearer;
  for (int step = 0; step < kMostSteps; ++step) {
    const size_t count = changes(x, point, change, nearer.data());
    float least = 0;
    E8Vector best = point;
    for (size_t i = 0; i < count; ++i) {
      const size_t n = nearer[i];
      if (!(change[n] < least - least_gains_[n])) continue;
      const E8Vector next = neighbour(point, n);
      const auto found = code_of(next);
      if (!found) continue;
      least = change[n];
      best = next;
      code = *found;
    }
    if (!(least < 0)) break;
    gained -= least;
    point = best;
  }
  return gained;
}

uint16_t E8Descent::operator()(const float* x, uint16_t code) const {
  alignas(64) E8Changes change, other;
  descend(x, code, change);
  const E8Vector point = e8_vector(code);
  uint16_t best = code;
  float most = 0;
  for (int detour = 0; detour < kDetours; ++detour) {
    const size_t n = least_e8_change(change);
    const float uphill = change[n];
    change[n] = std::numeric_limits<float>::infinity();
    auto at = code_of(neighbour(point, n));
    if (!at) continue;
    const float gained = descend(x, *at, other) - uphill;
    if (gained > most + least_gains_[n]) {
      most = gained;
      best = *at;
    }
  }
  return best;
}

}  // namespace pith::form
