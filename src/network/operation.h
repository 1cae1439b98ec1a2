// Operators of ONNX: made once from a node, whose attributes are checked then, and run often.
#pragma once

#include <map>
#include <set>
#include <string_view>

#include "pith/network/network.h"

namespace pith::network {

// What one operator is run with.
struct Step {
  std::span<const Tensor* const> inputs;  // null: left out
  std::span<const Layer> layers;
  const RunOptions& options;

  bool has(size_t k) const { return k < inputs.size() && inputs[k]; }
  // Throws ErrorKind::kData where it was left out.
  const Tensor& in(size_t k) const;
};

using Operation = std::function<std::vector<Tensor>(const Step&)>;

// The attributes of a node, with what they are where they are left out. Throw ErrorKind::kUsage
// for another kind of attribute.
class Attributes {
 public:
  explicit Attributes(const Node& node) : node_(node) {}

  bool has(std::string_view key) const { return node_.attributes.contains(key); }
  float number(std::string_view key, float otherwise);
  int64_t integer(std::string_view key, int64_t otherwise);
  bool flag(std::string_view key, bool otherwise) { return integer(key, otherwise) != 0; }
  std::string text(std::string_view key, std::string_view otherwise);
  std::vector<int64_t> integers(std::string_view key);  // left out: none
  Tensor tensor(std::string_view key, const Tensor& otherwise);
  void ignore(std::string_view key) { read_.insert(key); }
  // Throws ErrorKind::kUsage for an attribute that nobody has asked for.
  void finish() const;

 private:
  const io::OnnxAttribute* find(std::string_view key, io::OnnxAttribute::Kind kind);

  const Node& node_;
  std::set<std::string_view> read_;
};

// What an operator is made from.
struct Making {
  const Node& node;
  const Graph& graph;
  Attributes& attributes;
  std::vector<Layer>& layers;  // gets those of the node

  const Tensor* constant(size_t k) const { return graph.constant(node, k); }
};

using Make = Operation (*)(const Making&);
using OperatorTable = std::map<std::string_view, Make>;

void add_elementwise(OperatorTable& table);
void add_convolutions(OperatorTable& table);
void add_pools(OperatorTable& table);
void add_products(OperatorTable& table);
void add_normalizations(OperatorTable& table);
void add_reductions(OperatorTable& table);
void add_shapes(OperatorTable& table);
void add_pieces(OperatorTable& table);
void add_resizing(OperatorTable& table);
void add_rescaling(OperatorTable& table);

// Throws ErrorKind::kUsage with the node's name for what is not supported.
Operation make_operation(const Node& node, const Graph& graph, std::vector<Layer>& layers);

// "node 'conv1' (Conv)"
std::string described(const Node& node);

// -1 is the last of `rank` axes; `rank` itself is allowed with `end`. Throws ErrorKind::kData.
size_t axis_of(int64_t axis, size_t rank, bool end = false);

// A tensor of these values, as the only output.
template <class T>
std::vector<Tensor> only(Dims dims, std::vector<T> values) {
  return {Tensor(std::move(dims), std::move(values))};
}

}  // namespace pith::network
