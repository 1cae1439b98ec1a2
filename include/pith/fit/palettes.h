// Palettes: few numbers for a whole matrix, and for each weight the one it becomes.
//
//   codebook(k)
#pragma once

#include <cstdint>

#include "pith/fit/fitter.h"

namespace pith::fit {

struct SoftPaletteOptions {
  uint64_t entries = 8;      // 2 to 256
  int steps = 80;            // of training, at least 0
  double rate = 0.1;         // of Adam's steps, in distances between neighbouring entries
  double temperature = 0.1;  // of soft clusters, in squares of these
  double damping = 0.1;      // of the inputs' second moments, as a share of their mean
};

// Weights are trained so that what their soft clusters (soft_clusters.h) stand for loses least of
// the layer's outputs, the loss being the metric's; then each becomes the entry it is nearest to,
// and entries the least squares. Without steps: k-means and the least squares. Never worse than
// k-means alone. Throws ErrorKind::kUsage for options that cannot be.
Fitter soft_palette_fitter(const SoftPaletteOptions& options);

// As many entries as clusters of that distance have (math/threshold_clusters.h), in roots of the
// weights' mean square: above 0. At most 4096, at least 2.
Fitter threshold_palette_fitter(double distance);

}  // namespace pith::fit
