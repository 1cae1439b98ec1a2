#include "pith/network/fitted_layers.h"

#include <algorithm>
#include <optional>
#include <set>

#include "pith/base/error.h"
#include "pith/fit/second_moment.h"

namespace pith::network {

std::vector<uint64_t> input_counts(const Network& network, const std::vector<Tensor>& inputs,
                                   int threads) {
  std::vector<uint64_t> counts(network.layers().size());
  RunOptions options;
  options.threads = threads;
  options.inputs = [&](size_t layer, form::MatrixView x) { counts[layer] += x.shape.rows; };
  network.run(inputs, options);
  return counts;
}

namespace {

// The second moments of every so manyth of the vectors that come some at a time: added up many at a
// time, which is faster.
class MomentOf {
 public:
  explicit MomentOf(uint64_t every) : every_(std::max<uint64_t>(every, 1)) {}

  void add(form::MatrixView x, int threads) {
    if (!moment_) moment_.emplace(x.shape.cols);
    for (uint64_t r = 0; r < x.shape.rows; ++r, ++seen_) {
      if (seen_ % every_ != 0) continue;
      waiting_.insert(waiting_.end(), x.row(r).begin(), x.row(r).end());
      if (waiting_.size() >= kWaiting * x.shape.cols) flush(threads);
    }
  }

  fit::Metric take(int threads) {
    if (!moment_) return {};
    flush(threads);
    return fit::Metric::of(std::move(*moment_));
  }

 private:
  static constexpr uint64_t kWaiting = 1024;

  void flush(int threads) {
    const uint64_t n = moment_->channels();
    moment_->add({waiting_.data(), {waiting_.size() / n, n}}, threads);
    waiting_.clear();
  }

  uint64_t every_, seen_ = 0;
  std::vector<float> waiting_;
  std::optional<fit::SecondMoment> moment_;
};

}  // namespace

std::vector<fit::Metric> input_moments(const Network& network, const std::vector<Tensor>& inputs,
                                       const MomentOptions& options) {
  std::vector<MomentOf> seen;
  for (size_t i = 0; i < network.layers().size(); ++i) {
    seen.emplace_back(options.every ? options.every(i) : 1);
  }
  RunOptions run;
  run.threads = options.threads;
  run.inputs = [&](size_t layer, form::MatrixView x) {
    if (x.shape.cols == 0 || (options.which && !options.which(layer))) return;
    seen[layer].add(x, options.threads);
  };
  network.run(inputs, run);
  std::vector<fit::Metric> out;
  for (MomentOf& moment : seen) out.push_back(moment.take(options.threads));
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
