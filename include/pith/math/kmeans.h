// Clusters of vectors: k centroids with the least weighted squared error that Lloyd's iteration
// finds (Lloyd 1982) from k-means++ seeds (Arthur and Vassilvitskii 2007). In one dimension the
// centroids come from dynamic programming instead (Wu 1991), and are the best there are up to the
// binning of more than 1024 points.
//
// Results depend on the input and the seed alone, on every number of threads and instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::math {

struct KMeansOptions {
  uint64_t seed = 1;
  int rounds = 20;  // of Lloyd's iteration, at most
  int threads = 1;
};

// points: n vectors of `dim` floats, one after the other, finite, with squares that do not
// overflow. weights: n, not negative; empty for ones. Returns k * dim floats; where there are fewer
// than k different points, some centroids come twice.
std::vector<float> kmeans(std::span<const float> points, uint64_t dim,
                          std::span<const float> weights, uint64_t k,
                          const KMeansOptions& options = {});

// The same in one dimension; ascending.
std::vector<float> kmeans_1d(std::span<const float> values, std::span<const float> weights,
                             uint64_t k);

// Finds the nearest centroid; of equally near ones the first.
class NearestCentroid {
 public:
  // centroids: k * dim floats, k at least 1.
  NearestCentroid(std::span<const float> centroids, uint64_t dim);

  // codes[i] = the place of the centroid nearest to point i, of points.size() / dim.
  void operator()(std::span<const float> points, uint32_t* codes, int threads = 1) const;

 private:
  uint64_t dim_, padded_;       // centroids, with those that fill up the last vector
  std::vector<float> columns_;  // dim rows of all centroids' coordinates
  std::vector<float> halves_;   // half the squared length of each
};

}  // namespace pith::math
