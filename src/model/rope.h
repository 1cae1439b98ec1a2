// The angles of rotary position embeddings (RoFormer, arXiv 2104.09864) with their scalings.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/model/config.h"

namespace pith::model {

class Rope {
 public:
  // `length`: the positions that a text can have. Scalings that ask how long the text is (dynamic
  // NTK, LongRoPE) take this, so that keys once rotated stay right.
  Rope(const DecoderConfig& config, uint64_t length);

  uint64_t pairs() const { return frequencies_.size(); }
  // Cosines and sines, pairs() for each of `n` positions from `first`, with the attention factor.
  void angles(uint64_t first, uint64_t n, float* cosines, float* sines) const;

  const std::vector<double>& frequencies() const { return frequencies_; }  // radians per position
  double magnitude() const { return magnitude_; }

 private:
  std::vector<double> frequencies_;
  double magnitude_ = 1;
};

}  // namespace pith::model
