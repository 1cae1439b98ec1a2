// Clusters of numbers whose count is found and not given: by a distance that no member may have
// from its cluster's mean, and that means of neighbours keep where one cluster would do for both.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::math {

struct ThresholdClusterOptions {
  int rounds = 30;          // of moving, splitting and merging, at most
  uint64_t most = 1 << 16;  // clusters, at least 2
};

// values: finite. Means, ascending, at least one where there are values. Begins with one cluster;
// each round members go to the nearest mean, means move, clusters with a member farther from the
// mean than `distance` are split in two at it, and neighbours that fit within the distance of their
// common mean are merged. distance: above 0. Results depend on the input alone.
std::vector<float> threshold_clusters(std::span<const float> values, double distance,
                                      const ThresholdClusterOptions& options = {});

}  // namespace pith::math
