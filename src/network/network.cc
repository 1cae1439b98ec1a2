#include "pith/network/network.h"

#include <map>
#include <set>

#include "operation.h"

namespace pith::network {
namespace {

// The values that each node is the last to read.
std::vector<std::vector<std::string>> last_reads(const Graph& graph) {
  std::set<std::string_view> kept(graph.outputs.begin(), graph.outputs.end());
  std::vector<std::vector<std::string>> out(graph.nodes.size());
  for (size_t i = graph.nodes.size(); i-- > 0;) {
    for (const std::string& name : graph.nodes[i].inputs) {
      if (kept.insert(name).second) out[i].push_back(name);
    }
  }
  return out;
}

}  // namespace

Network::Network(Graph graph) : graph_(std::make_shared<const Graph>(std::move(graph))) {
  for (const Node& node : graph_->nodes) {
    operations_.push_back(make_operation(node, *graph_, layers_));
  }
  last_reads_ = last_reads(*graph_);
}

std::vector<Tensor> Network::run(const std::vector<Tensor>& inputs,
                                 const RunOptions& options) const {
  if (inputs.size() != graph_->inputs.size()) {
    fail(ErrorKind::kUsage, "{} inputs for a network that takes {}", inputs.size(),
         graph_->inputs.size());
  }
  std::map<std::string_view, Tensor> values;
  const auto find = [&](const std::string& name) -> const Tensor* {
    const auto at = values.find(name);
    if (at != values.end()) return &at->second;
    const auto constant = graph_->constants.find(name);
    return constant == graph_->constants.end() ? nullptr : &constant->second;
  };
  for (size_t k = 0; k < inputs.size(); ++k) {
    values.insert_or_assign(graph_->inputs[k], inputs[k]);
    if (options.values) options.values(graph_->inputs[k], inputs[k]);
  }
  for (size_t i = 0; i < graph_->nodes.size(); ++i) {
    const Node& node = graph_->nodes[i];
    std::vector<const Tensor*> from;
    for (const std::string& name : node.inputs) from.push_back(name.empty() ? nullptr : find(name));
    try {
      std::vector<Tensor> made = operations_[i]({from, layers_, options});
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        if (node.outputs[k].empty()) continue;
        if (k >= made.size()) fail(ErrorKind::kUsage, "its output {} is not supported", k);
        if (options.values) options.values(node.outputs[k], made[k]);
        values.insert_or_assign(node.outputs[k], std::move(made[k]));
      }
    } catch (const Error& e) {
      throw e.in(described(node));
    }
    for (const std::string& name : last_reads_[i]) values.erase(name);
  }
  std::vector<Tensor> out;
  for (const std::string& name : graph_->outputs) {
    const Tensor* made = find(name);
    if (!made) fail(ErrorKind::kData, "nothing makes the output '{}'", name);
    out.push_back(*made);
  }
  return out;
}

size_t Network::layer(std::string_view name) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].name == name) return i;
  }
  fail(ErrorKind::kUsage, "the network has no layer '{}'", name);
}

form::Matrix Network::decoded(size_t layer) const {
  return form::decode(*layers_.at(layer).weight);
}

void Network::set_form(size_t layer, form::FormPtr form) {
  Layer& l = layers_.at(layer);
  if (form->shape() != l.weight->shape()) {
    fail(ErrorKind::kUsage, "layer '{}' has {} x {} weights, the form {} x {}", l.name,
         l.weight->shape().rows, l.weight->shape().cols, form->shape().rows, form->shape().cols);
  }
  l.weight = std::move(form);
  if (!l.decoded.values.empty()) l.decoded = form::decode(*l.weight);
}

}  // namespace pith::network
