// A network as a list of operators over named values, to be looked at and changed before it is
// run: what an ONNX file holds, with its tensors ready to compute with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pith/network/tensor.h"

namespace pith::network {

struct Node {
  std::string name;  // of the node in its file, or made up from its first output
  std::string op;    // as ONNX calls it
  std::vector<std::string> inputs, outputs;  // empty: left out
  std::map<std::string, io::OnnxAttribute, std::less<>> attributes;
};

struct Graph {
  uint64_t opset = 13;
  std::vector<std::string> inputs, outputs;
  std::vector<Node> nodes;  // in an order in which they can be computed
  std::map<std::string, Tensor, std::less<>> constants;

  // The constant of the node's k-th input; null where it is computed or left out.
  const Tensor* constant(const Node& node, size_t k) const;
};

// Constants that are only cut, cast or reshaped are computed (up to 2^26 elements); Identity and
// Dropout are left out. Throws what the tensors and the operators of such nodes throw.
Graph graph_of(const io::OnnxGraph& model);

// BatchNormalization behind a Conv that nothing else reads goes into its weights and bias (Jacob et
// al. 2018, 3.2). Returns how many.
size_t fold_batch_norms(Graph& graph);

}  // namespace pith::network
