// Networks in integers whose layers have different bits, shared out within limits on what they
// take.
#pragma once

#include <functional>
#include <vector>

#include "pith/budget/problem.h"
#include "pith/network/integer_network.h"

namespace pith::network {

// A part for each layer, a candidate for each level: weights, and the inputs that they multiply, of
// so many bits. The loss is the layer's mean curvature (curvature.h; negative counts as 0) times
// the squared error of its weights. Resources: "bytes" of the forms, and "bit operations", products
// for the first dimension 1 of the input that was seen times the bits of both factors (HAWQ-V3, Yao
// et al. 2021). The first and the last layer keep the last level. Throws ErrorKind::kUsage for
// levels outside of 2 to 8, or another number of curvatures than layers.
budget::Problem bits_problem(const Network& network, const ActivationSamples& seen,
                             std::span<const int> levels, std::span<const double> curvature);

// The network with weights of these bits, by layer: each the nearest of `uniform(b, group=row)`.
Network with_integer_weights(Network network, std::span<const int> bits);

struct MixedBitsOptions {
  std::vector<int> levels = {4, 8};
  int probes = 8;  // of each layer's curvature
  uint64_t seed = 0;
  // A level, by number, for each layer; null: an integer program.
  std::function<std::vector<size_t>(const budget::Problem&, const budget::Goal&)> choose = {};
  int threads = 1;
};

struct MixedBits {
  std::vector<int> bits;  // of each layer
  budget::Problem problem;
  budget::Totals totals;
  IntegerNetwork integers;
};

// The network's layers in integers within the goal's limits, by the cross entropy of the classes of
// some images. Throws what its parts throw.
MixedBits with_mixed_bits(const Network& network, const Tensor& images,
                          std::span<const int> classes, const budget::Goal& goal,
                          const MixedBitsOptions& options = {});

}  // namespace pith::network
