#include "pith/kv/rotation.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "stream_kernel.h"

namespace pith::kv {
namespace {

// Of a 32-bit float in a file, and of the frequencies here.
constexpr double kRounding = 1e-5;

void turn_neighbours(float* row, uint64_t pairs, const float* cosines, const float* sines,
                     float sign) {
  for (uint64_t i = 0; i < pairs; ++i) {
    const float c = cosines[i], s = sign * sines[i];
    const float a = row[2 * i], b = row[2 * i + 1];
    row[2 * i] = a * c - b * s;
    row[2 * i + 1] = b * c + a * s;
  }
}

}  // namespace

std::vector<double> frequencies_of(const Rotation& rotation, uint64_t head_size) {
  const std::vector<float>& own = rotation.frequencies;
  if (own.size() > head_size / 2)
    fail(ErrorKind::kUsage, "frequencies of {} pairs in heads of {}", own.size(), head_size);
  if (!own.empty()) return {own.begin(), own.end()};
  std::vector<double> all(head_size / 2);
  for (uint64_t i = 0; i < all.size(); ++i)
    all[i] =
        std::pow(rotation.base, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
  return all;
}

bool alike(const Rotation& a, const Rotation& b, uint64_t head_size) {
  return a.neighbours == b.neighbours &&
         std::ranges::equal(
             frequencies_of(a, head_size), frequencies_of(b, head_size),
             [](double x, double y) { return std::abs(x - y) <= kRounding * std::max(x, y); });
}

Rotator::Rotator(const Rotation& rotation, uint64_t head_size, uint64_t first, uint64_t tokens)
    : head_size_(head_size), tokens_(tokens), neighbours_(rotation.neighbours) {
  const std::vector<double> frequencies = frequencies_of(rotation, head_size);
  const uint64_t pairs = pairs_ = frequencies.size();
  cosines_.resize(tokens * pairs);
  sines_.resize(tokens * pairs);
  for (uint64_t i = 0; i < pairs; ++i) {
    const double step = frequencies[i];
    // One position after the other, which is exact enough for stretches of tokens.
    const double begin = step * static_cast<double>(first);
    double c = std::cos(begin), s = std::sin(begin);
    const double c1 = std::cos(step), s1 = std::sin(step);
    for (uint64_t t = 0; t < tokens; ++t) {
      cosines_[t * pairs + i] = static_cast<float>(c);
      sines_[t * pairs + i] = static_cast<float>(s);
      const double next = c * c1 - s * s1;
      s = s * c1 + c * s1;
      c = next;
    }
  }
}

void Rotator::turn(float* rows, uint64_t tokens, float sign) const {
  if (!neighbours_) {
    turn_halves(rows, tokens, head_size_, pairs_, cosines_.data(), sines_.data(), sign);
    return;
  }
  for (uint64_t t = 0; t < tokens; ++t)
    turn_neighbours(rows + t * head_size_, pairs_, cosines_.data() + t * pairs_,
                    sines_.data() + t * pairs_, sign);
}

TileRotator::TileRotator(const Rotation& rotation, uint64_t head_size, uint64_t tokens)
    : neighbours_(rotation.neighbours),
      frequencies_(frequencies_of(rotation, head_size)),
      head_size_(head_size),
      within_(rotation, head_size, 0, tokens) {}

void TileRotator::turn(float* rows, uint64_t first, uint64_t tokens, float sign) const {
  within_.turn(rows, tokens, sign);
  turn_all(rows, first, tokens, sign);
}

void TileRotator::turn_all(float* rows, uint64_t position, uint64_t count, float sign) const {
  if (position == 0) return;
  const uint64_t pairs = frequencies_.size();
  thread_local std::vector<float> cosines, sines;
  cosines.resize(pairs);
  sines.resize(pairs);
  for (uint64_t i = 0; i < pairs; ++i) {
    const double angle = frequencies_[i] * static_cast<double>(position);
    cosines[i] = static_cast<float>(std::cos(angle));
    sines[i] = static_cast<float>(std::sin(angle));
  }
  for (uint64_t t = 0; t < count; ++t) {
    float* row = rows + t * head_size_;
    if (neighbours_) {
      turn_neighbours(row, pairs, cosines.data(), sines.data(), sign);
    } else {
      turn_halves(row, 1, head_size_, pairs, cosines.data(), sines.data(), sign);
    }
  }
}

}  // namespace pith::kv
