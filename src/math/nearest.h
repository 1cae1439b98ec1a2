// The inner loop of nearest centroids.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pith::math {

// Centroids come in multiples of this.
inline constexpr uint64_t kCentroidPad = 16;

struct CentroidColumns {
  const float* columns;  // dim rows of `padded` coordinates
  const float* halves;   // half the squared length, infinite for those that only fill up
  uint64_t dim, padded;
};

// codes[i] = the first c of the least halves[c] - dot(point i, centroid c), for n points.
void nearest_centroids(const CentroidColumns& c, const float* points, uint64_t n, uint32_t* codes);

}  // namespace pith::math
