#include "pith/network/graph.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "operation.h"

namespace pith::network {
namespace {

std::string known_as(const io::OnnxNode& n) {
  return !n.name.empty() ? n.name : n.outputs.empty() ? std::string() : n.outputs[0];
}

// The value of a Constant node.
Tensor value_of(const Node& node) {
  try {
    Attributes a(node);
    if (a.has("value_float")) return {{}, std::vector<float>{a.number("value_float", 0)}};
    if (a.has("value_int")) return {{}, std::vector<int64_t>{a.integer("value_int", 0)}};
    if (a.has("value_ints")) {
      std::vector<int64_t> v = a.integers("value_ints");
      return {{v.size()}, std::move(v)};
    }
    if (!a.has("value")) fail(ErrorKind::kUsage, "its value is of a kind that is not supported");
    return a.tensor("value", Tensor());
  } catch (const Error& e) {
    throw e.in(described(node));
  }
}

// What its operator gives, computed now.
void compute(Graph& graph, const Node& node) {
  std::vector<Layer> layers;
  const Operation operation = make_operation(node, graph, layers);
  std::vector<const Tensor*> inputs;
  for (size_t k = 0; k < node.inputs.size(); ++k) inputs.push_back(graph.constant(node, k));
  try {
    const std::vector<Tensor> made = operation({inputs, layers, {}});
    for (size_t k = 0; k < std::min(made.size(), node.outputs.size()); ++k) {
      graph.constants.insert_or_assign(node.outputs[k], made[k]);
    }
  } catch (const Error& e) {
    throw e.in(described(node));
  }
}

// Of elements that are computed beforehand in all: a file of a few bytes must not fill memory.
constexpr uint64_t kMostComputed = 1 << 26;

// Whether a node gives no more elements than its first input has, and all inputs are constants.
bool follows(const Graph& graph, const Node& node) {
  static const std::set<std::string_view> kPlain = {"Reshape",   "Flatten", "Transpose", "Squeeze",
                                                    "Unsqueeze", "Cast",    "Slice",     "Shape"};
  if (node.inputs.empty() || !kPlain.contains(node.op) || !graph.constant(node, 0)) return false;
  for (size_t k = 0; k < node.inputs.size(); ++k) {
    if (!node.inputs[k].empty() && !graph.constant(node, k)) return false;
  }
  return true;
}

class Builder {
 public:
  explicit Builder(const io::OnnxGraph& model) {
    out_.opset = model.opset;
    for (const io::OnnxValue& v : model.inputs) out_.inputs.push_back(v.name);
    for (const io::OnnxValue& v : model.outputs) out_.outputs.push_back(v.name);
    for (const io::OnnxTensor& t : model.initializers) out_.constants.emplace(t.name, Tensor(t));
    for (const io::OnnxNode& n : model.nodes) add(n);
    for (std::string& name : out_.outputs) name = resolved(name);
  }
  Graph take() && { return std::move(out_); }

 private:
  void add(const io::OnnxNode& from) {
    Node node{known_as(from), from.op, from.inputs, from.outputs, from.attributes};
    if (!from.domain.empty()) node.op = from.domain + ":" + from.op;
    for (std::string& name : node.inputs) name = resolved(name);
    if (node.op == "Constant" && node.outputs.size() == 1) {
      out_.constants.emplace(node.outputs[0], value_of(node));
      return;
    }
    const bool nothing = node.op == "Identity" || node.op == "Dropout";
    if (nothing && !node.inputs.empty() && !node.outputs.empty() && !node.outputs[0].empty()) {
      same_[node.outputs[0]] = node.inputs[0];
      return;
    }
    if (follows(out_, node)) {
      const uint64_t size = out_.constant(node, 0)->size();
      if (size <= kMostComputed - computed_) {
        computed_ += size;
        return compute(out_, node);
      }
    }
    out_.nodes.push_back(std::move(node));
  }

  const std::string& resolved(const std::string& name) const {
    const auto at = same_.find(name);
    return at == same_.end() ? name : at->second;
  }

  Graph out_;
  uint64_t computed_ = 0;
  std::map<std::string, std::string> same_;  // outputs that are another value
};

// What multiplies and is added to each output of a convolution.
struct ChannelMap {
  std::vector<float> times, plus;
};

ChannelMap map_of(const Graph& graph, const Node& norm) {
  Attributes a(norm);
  const double epsilon = a.number("epsilon", 1e-5F);
  const auto list = [&](size_t k) { return graph.constant(norm, k)->floats(); };
  ChannelMap m;
  for (size_t c = 0; c < list(1).size(); ++c) {
    const double by = list(1)[c] / std::sqrt(list(4)[c] + epsilon);
    m.times.push_back(static_cast<float>(by));
    m.plus.push_back(static_cast<float>(list(2)[c] - list(3)[c] * by));
  }
  return m;
}

bool can_fold(const Graph& graph, const Node& conv, const Node& norm) {
  const Tensor* w = graph.constant(conv, 1);
  if (!w || !w->is_float() || w->rank() < 3) return false;
  if (conv.inputs.size() > 2 && !conv.inputs[2].empty() && !graph.constant(conv, 2)) return false;
  for (size_t k = 1; k <= 4; ++k) {
    const Tensor* t = graph.constant(norm, k);
    if (!t || !t->is_float() || t->size() != w->dim(0)) return false;
  }
  return true;
}

void fold(Graph& graph, Node& conv, const Node& norm) {
  const ChannelMap map = map_of(graph, norm);
  const Tensor w = *graph.constant(conv, 1);
  std::vector<float> folded(w.floats().begin(), w.floats().end());
  const uint64_t n = w.size() / w.dim(0);
  for (size_t i = 0; i < folded.size(); ++i) folded[i] *= map.times[i / n];
  std::vector<float> bias = map.plus;
  if (const Tensor* b = graph.constant(conv, 2)) {
    for (size_t c = 0; c < bias.size(); ++c) bias[c] += b->floats()[c] * map.times[c];
  }
  // New names: others may share the weight.
  conv.inputs.resize(3);
  conv.inputs[1] = norm.outputs[0] + ".weight";
  conv.inputs[2] = norm.outputs[0] + ".bias";
  graph.constants.insert_or_assign(conv.inputs[1], Tensor(w.dims(), std::move(folded)));
  graph.constants.insert_or_assign(conv.inputs[2], Tensor({bias.size()}, bias));
  conv.outputs[0] = norm.outputs[0];
}

// How often each value is read.
std::map<std::string, int, std::less<>> reads_of(const Graph& graph) {
  std::map<std::string, int, std::less<>> reads;
  for (const std::string& name : graph.outputs) ++reads[name];
  for (const Node& node : graph.nodes) {
    for (const std::string& name : node.inputs) ++reads[name];
  }
  return reads;
}

}  // namespace

const Tensor* Graph::constant(const Node& node, size_t k) const {
  if (k >= node.inputs.size()) return nullptr;
  const auto at = constants.find(node.inputs[k]);
  return at == constants.end() ? nullptr : &at->second;
}

Graph graph_of(const io::OnnxGraph& model) { return Builder(model).take(); }

size_t fold_batch_norms(Graph& graph) {
  const std::map<std::string, int, std::less<>> reads = reads_of(graph);
  std::map<std::string, size_t> convolutions;  // by their output
  std::set<size_t> gone;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    if (node.op == "Conv" && !node.outputs.empty()) convolutions[node.outputs[0]] = i;
    if (node.op != "BatchNormalization" || node.inputs.empty()) continue;
    const auto at = convolutions.find(node.inputs[0]);
    if (at == convolutions.end() || reads.at(node.inputs[0]) != 1) continue;
    if (!can_fold(graph, graph.nodes[at->second], node)) continue;
    fold(graph, graph.nodes[at->second], node);
    gone.insert(i);
  }
  // Constants that are not read any more go, too.
  size_t i = 0;
  std::erase_if(graph.nodes, [&](const Node&) { return gone.contains(i++); });
  const std::map<std::string, int, std::less<>> left = reads_of(graph);
  std::erase_if(graph.constants, [&](const auto& c) { return !left.contains(c.first); });
  return gone.size();
}

}  // namespace pith::network
