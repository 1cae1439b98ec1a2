// How much the loss of a network rises when the weights of a layer are changed.
#pragma once

#include <functional>

#include "pith/network/network.h"

namespace pith::network {

// Mean over the rows of [n, classes] of -log softmax(logits)[class]. Throws ErrorKind::kUsage
// unless there is a class for each row.
double cross_entropy(const Tensor& logits, std::span<const int> classes);
// Share of rows whose largest element is the class's.
double accuracy(const Tensor& logits, std::span<const int> classes);

struct TraceOptions {
  int probes = 8;
  double step = 0.03;  // of the weights' root mean square
  uint64_t seed = 0;
};

// The mean of the diagonal of the loss's Hessian over a layer's weights, which is the trace over
// their number (HAWQ-V2, Dong et al. 2020): Hutchinson's estimate, the mean of vᵀHv for signs v,
// each from the second difference of the loss at weights that are step * v apart. So no gradient
// is needed; a probe runs the network twice. May be negative where the loss has no minimum there.
double mean_curvature(const Network& network, size_t layer,
                      const std::function<double(const Network&)>& loss,
                      const TraceOptions& options = {});

}  // namespace pith::network
