#include "pith/kv/rotation.h"

#include <cmath>

#include "stream_kernel.h"

namespace pith::kv {

Rotator::Rotator(const Rotation& rotation, uint64_t head_size, uint64_t first, uint64_t tokens)
    : head_size_(head_size), tokens_(tokens), neighbours_(rotation.neighbours) {
  const uint64_t pairs = head_size / 2;
  cosines_.resize(tokens * pairs);
  sines_.resize(tokens * pairs);
  for (uint64_t i = 0; i < pairs; ++i) {
    const double frequency =
        std::pow(rotation.base, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
    // One position after the other, which is exact enough for stretches of tokens.
    const double begin = frequency * static_cast<double>(first);
    double c = std::cos(begin), s = std::sin(begin);
    const double c1 = std::cos(frequency), s1 = std::sin(frequency);
    for (uint64_t t = 0; t < tokens; ++t) {
      cosines_[t * pairs + i] = static_cast<float>(c);
      sines_[t * pairs + i] = static_cast<float>(s);
      const double next = c * c1 - s * s1;
      s = s * c1 + c * s1;
      c = next;
    }
  }
}

void Rotator::turn(float* rows, float sign) const {
  const uint64_t pairs = head_size_ / 2;
  if (!neighbours_) {
    turn_halves(rows, tokens_, head_size_, cosines_.data(), sines_.data(), sign);
    return;
  }
  for (uint64_t t = 0; t < tokens_; ++t) {
    float* row = rows + t * head_size_;
    for (uint64_t i = 0; i < pairs; ++i) {
      const float c = cosines_[t * pairs + i], s = sign * sines_[t * pairs + i];
      const float a = row[2 * i], b = row[2 * i + 1];
      row[2 * i] = a * c - b * s;
      row[2 * i + 1] = b * c + a * s;
    }
  }
}

}  // namespace pith::kv
