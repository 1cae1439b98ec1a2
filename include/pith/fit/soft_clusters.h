// Differentiable k-means (DKM: Cho et al. 2022): every weight is shared out among all centroids, by
// the softmax of squared distances over a temperature, centroids are the means of what they are
// given, again and again, and a weight then stands for the mean of the centroids by its shares. All
// of it has a derivative, so that the gradient of any loss at these soft weights becomes one at the
// weights.
//
// Weights of 16 bits have at most 65536 different values, and equal ones have equal shares: the
// shares are kept for each different value alone, with one index for each weight (eDKM: Cho et al.
// 2023). The gradients are those of the plain way.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::fit {

struct SoftClusterOptions {
  double temperature = 1e-3;  // of squared distances, above 0
  int rounds = 5;             // of centroids, at most
  double enough = 1e-4;       // centroids that move less than this share of their range stay
  bool unique = true;         // false: shares for every weight by itself, for comparison
};

class SoftClusters {
 public:
  // weights: finite. centroids: where they begin, at least 1. Throws ErrorKind::kUsage for options
  // that cannot be.
  SoftClusters(std::span<const float> weights, std::span<const double> centroids,
               const SoftClusterOptions& options = {});

  std::span<const double> centroids() const { return centers_.back(); }
  // What each weight stands for.
  std::vector<float> values() const;
  // The gradient at the weights, of the loss that has this one at values(); through all rounds, up
  // to the centroids that they began with.
  std::vector<float> gradient(std::span<const float> of_values) const;
  // The centroid that each weight has most of.
  std::vector<uint16_t> codes() const;

  uint64_t different() const { return values_.size(); }  // values of weights
  int rounds() const { return static_cast<int>(centers_.size()) - 1; }
  // Bytes that the gradient needs: shares as f32 of every round and of the values, and indices, if
  // these are shared out among so many workers.
  uint64_t saved_bytes(uint64_t workers = 1) const;

 private:
  void share();  // by the last centroids

  SoftClusterOptions options_;
  std::vector<double> values_, counts_;
  std::vector<uint32_t> index_;               // of each weight among the values
  std::vector<std::vector<double>> centers_;  // of each round, and at last
  std::vector<std::vector<float>> shares_;    // different() x k of each
};

}  // namespace pith::fit
