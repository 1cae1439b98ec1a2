#include "pith/network/stored_weights.h"

#include <map>

#include "pith/form/transpose.h"

namespace pith::network {
namespace {

using Makers = std::map<std::string_view, const io::OnnxNode*>;

bool swaps_two(const io::OnnxNode& node) {
  const auto perm = node.attributes.find("perm");
  if (perm == node.attributes.end()) return true;  // of a matrix, as it is left out
  return perm->second.integers == std::vector<int64_t>{1, 0};
}

// Back through nodes that leave every element what it is.
StoredWeight found(std::string name, bool turned, const Makers& makers) {
  for (auto at = makers.find(name); at != makers.end(); at = makers.find(name)) {
    const io::OnnxNode& node = *at->second;
    if (node.op == "Constant") break;
    const bool same = node.op == "Identity" || node.op == "Cast";
    if (node.inputs.empty() || !(same || (node.op == "Transpose" && swaps_two(node)))) return {};
    turned ^= !same;
    name = node.inputs[0];
  }
  return {std::move(name), turned};
}

}  // namespace

std::vector<StoredWeight> stored_weights(const io::OnnxGraph& file, const Network& network) {
  Makers makers;
  for (const io::OnnxNode& node : file.nodes) {
    for (const std::string& output : node.outputs) makers.emplace(output, &node);
  }
  std::vector<StoredWeight> out;
  for (const Layer& layer : network.layers()) {
    out.push_back(found(layer.name, layer.turned, makers));
  }
  return out;
}

form::FormPtr as_stored(const StoredWeight& weight, form::FormPtr form) {
  return weight.turned ? form::transpose_of(std::move(form)) : form;
}

}  // namespace pith::network
