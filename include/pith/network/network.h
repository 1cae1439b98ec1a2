// A network that runs: the operators of a graph in float32, with weights that may be forms.
//
//   Network network(graph_of(io::read_onnx_graph("model.onnx")));
//   network.set_form("conv1.weight", form::encode(parse("uniform(4)"), network.decoded(0).view()));
//   const std::vector<Tensor> outputs = network.run({images});
//
// Weights of Conv, Gemm and MatMul that are constants are matrices of outputs x inputs, multiplied
// by as they are (form::apply): a convolution's inputs are the patches of its image, in the order
// of the weight's dimensions. Those of grouped convolutions and of ConvTranspose are decoded when
// they are set. Results are the same for any number of threads and any instruction set with a
// fused multiply and add.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/form.h"
#include "pith/network/graph.h"

namespace pith::network {

// A constant matrix that a node multiplies by.
struct Layer {
  std::string name;         // of the tensor in the graph, which may stand there transposed
  std::string node;         // that multiplies by it
  form::FormPtr weight;     // outputs x inputs
  uint64_t groups = 1;      // of a convolution: each has outputs / groups rows of its own
  std::vector<float> bias;  // of each output; empty: none
  form::Matrix decoded;     // where forms are not multiplied by as they are
  bool turned = false;      // the graph's tensor has a row for each input
};

struct RunOptions {
  int threads = 1;
  // Sees, for a layer that multiplies by a form, the vectors that it is multiplied by: all of them,
  // some at a time, in this thread.
  std::function<void(size_t layer, form::MatrixView inputs)> inputs = {};
  // Sees every value when it is made.
  std::function<void(std::string_view name, const Tensor& value)> values = {};
};

struct Step;  // what one operator is run with (src/network/operation.h)

class Network {
 public:
  // Throws ErrorKind::kUsage with the node's name for operators, attributes or element types that
  // are not supported, before anything is computed.
  explicit Network(Graph graph);

  // In the order of the graph's inputs and outputs. Throws ErrorKind::kData with the node's name
  // for shapes that do not fit, kLimit for values of more than kMostElements.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs, const RunOptions& options = {}) const;

  const Graph& graph() const { return *graph_; }
  std::span<const Layer> layers() const { return layers_; }
  size_t layer(std::string_view name) const;  // throws ErrorKind::kUsage
  form::Matrix decoded(size_t layer) const;
  // Of the layer's shape; throws ErrorKind::kUsage for another.
  void set_form(size_t layer, form::FormPtr form);

 private:
  std::shared_ptr<const Graph> graph_;
  // One for each node.
  std::vector<std::function<std::vector<Tensor>(const Step&)>> operations_;
  std::vector<Layer> layers_;
  std::vector<std::vector<std::string>> last_reads_;  // values that no node after this one reads
};

}  // namespace pith::network
