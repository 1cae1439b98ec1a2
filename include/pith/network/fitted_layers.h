// Layers of a network that get the forms that a fitter gives them, by what they multiply.
//
//   const std::vector<fit::Metric> seen = input_moments(network, {images});
//   const Network small = with_fitted_layers(network, seen, fitter);
#pragma once

#include <functional>
#include <vector>

#include "pith/fit/fitter.h"
#include "pith/network/network.h"

namespace pith::network {

// How many vectors each layer multiplies; 0 of those that do not multiply by a form.
std::vector<uint64_t> input_counts(const Network& network, const std::vector<Tensor>& inputs,
                                   int threads = 1);

struct MomentOptions {
  int threads = 1;
  std::function<bool(size_t layer)> which = {};  // empty: all
  // Of a layer's vectors, 1 to take all: every so manyth.
  std::function<uint64_t(size_t layer)> every = {};
};

// Second moments of each layer's inputs; the squared error of those that were not run or do not
// multiply by a form. Takes 8 n^2 bytes for a layer of n inputs.
std::vector<fit::Metric> input_moments(const Network& network, const std::vector<Tensor>& inputs,
                                       const MomentOptions& options = {});

// All layers, or those that `which` takes. Throws what the fitter throws, ErrorKind::kUsage for
// another number of metrics than layers.
Network with_fitted_layers(Network network, std::span<const fit::Metric> inputs,
                           const fit::Fitter& fitter,
                           const std::function<bool(size_t layer)>& which = {});

// How many weights all layers have.
uint64_t layer_weights(const Network& network);
// Of the forms of all layers.
uint64_t layer_bytes(const Network& network);
// Of the constants that nodes read and that are no layers, as they are: floats of 32 bits, integers
// of 64.
uint64_t other_bytes(const Network& network);

// The same weights as plain floats: forms of codes round their inputs as they multiply, these do
// not.
Network decoded_layers(Network network);

}  // namespace pith::network
