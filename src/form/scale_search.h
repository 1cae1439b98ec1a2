// How large the scales of a lattice should be beside the root mean square of what they scale: tried
// out on a sample.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "group_scales.h"

namespace pith::form {

// Pieces of rows in units of their root mean squares.
struct ScaleSample {
  uint64_t piece = 8;
  std::vector<float> values;    // pieces, filled up with zeros
  std::vector<double> weights;  // of each piece: the square of its scale
};

// At most `most` pieces of `piece` columns, evenly apart.
ScaleSample scale_sample(MatrixView matrix, ScaleGroups groups, uint64_t piece, uint64_t most);

// The candidate with the least error of quantize(in, out, candidate), which is given a piece and
// writes what its codes stand for; the first of equals.
template <class Quantize>
double best_candidate(const ScaleSample& sample, std::span<const double> candidates,
                      const Quantize& quantize) {
  double best = candidates.front(), least = std::numeric_limits<double>::infinity();
  std::vector<float> out(sample.piece);
  for (const double candidate : candidates) {
    double error = 0;
    for (uint64_t i = 0; i < sample.weights.size(); ++i) {
      const float* in = sample.values.data() + i * sample.piece;
      quantize(in, out.data(), candidate);
      for (uint64_t k = 0; k < sample.piece; ++k)
        error += sample.weights[i] * std::pow(double{in[k]} - out[k], 2);
    }
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

}  // namespace pith::form
