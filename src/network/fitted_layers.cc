#include "pith/network/fitted_layers.h"

#include <optional>
#include <set>

#include "pith/base/error.h"
#include "pith/fit/second_moment.h"

namespace pith::network {

std::vector<fit::Metric> input_moments(const Network& network, const std::vector<Tensor>& inputs,
                                       int threads) {
  std::vector<std::optional<fit::SecondMoment>> seen(network.layers().size());
  RunOptions options;
  options.threads = threads;
  options.inputs = [&](size_t layer, form::MatrixView x) {
    if (!seen[layer]) seen[layer].emplace(x.shape.cols);
    seen[layer]->add(x, 1);
  };
  network.run(inputs, options);
  std::vector<fit::Metric> out;
  for (auto& moment : seen) {
    out.push_back(moment ? fit::Metric::of(std::move(*moment)) : fit::Metric());
  }
  return out;
}

Network with_fitted_layers(Network network, std::span<const fit::Metric> inputs,
                           const fit::Fitter& fitter,
                           const std::function<bool(size_t layer)>& which) {
  if (inputs.size() != network.layers().size()) {
    fail(ErrorKind::kUsage, "{} metrics for {} layers", inputs.size(), network.layers().size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (which && !which(i)) continue;
    const form::Matrix weights = network.decoded(i);
    network.set_form(i, fitter({network.layers()[i].name, weights.view(), inputs[i], {}, 1}).form);
  }
  return network;
}

uint64_t layer_weights(const Network& network) {
  uint64_t weights = 0;
  for (const Layer& layer : network.layers()) weights += layer.weight->shape().size();
  return weights;
}

uint64_t layer_bytes(const Network& network) {
  uint64_t bits = 0;
  for (const Layer& layer : network.layers()) bits += form::bits(*layer.weight);
  return bits / 8;
}

uint64_t other_bytes(const Network& network) {
  // What was folded into another constant is not read any more.
  std::set<std::string_view> read;
  for (const Node& node : network.graph().nodes)
    read.insert(node.inputs.begin(), node.inputs.end());
  for (const Layer& layer : network.layers()) read.erase(layer.name);
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : network.graph().constants) {
    if (read.contains(name)) bytes += tensor.size() * (tensor.is_float() ? 4 : 8);
  }
  return bytes;
}

Network decoded_layers(Network network) {
  static const form::Expression floats = form::parse("dense(f32)");
  for (size_t i = 0; i < network.layers().size(); ++i) {
    network.set_form(i, form::encode(floats, network.decoded(i).view()));
  }
  return network;
}

}  // namespace pith::network
