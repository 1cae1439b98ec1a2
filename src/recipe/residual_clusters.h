// The few steps that a tensor takes from its base: clusters of residuals in one dimension.
#pragma once

#include <span>
#include <vector>

#include "pith/lossless/step_arithmetic.h"
#include "pith/recipe/checkpoint_prediction.h"

namespace pith::recipe {

using lossless::steps::Domain;

// What a tensor is to an optimizer, from its name.
enum class Role : uint8_t { kWeight, kFirstMoment, kSecondMoment };
Role role_of(std::string_view tensor_name);

struct Pair {
  double value, base;
};

class ResidualClusters {
 public:
  // From a sample of the tensor; of the same sample always the same.
  ResidualClusters(std::span<const Pair> sample, Role role, const PredictionOptions& options);

  Domain domain() const { return domain_; }
  // The step that stands for this element; false: it has none and stays as it is.
  bool step(const Pair& p, double& step) const;

 private:
  Domain domain_ = Domain::kSum;
  double threshold_ = 0;        // residuals below it are pruned
  std::vector<double> bounds_;  // between neighbouring centers; ascending
  std::vector<double> steps_;   // what the centers mean, one more than bounds
};

// Centers of at most `count` clusters of ascending values (k-means; Lloyd 1957, from quantiles).
std::vector<double> cluster(std::span<const double> sorted, size_t count);

}  // namespace pith::recipe
