#include "pith/network/attention.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "pith/base/error.h"

namespace pith::network {
namespace {

// What the run has shown: shapes of all values, and the elements of those that say how others are
// moved.
struct Seen {
  std::map<std::string, Dims, std::less<>> dims;
  std::map<std::string, Tensor, std::less<>> small;
};

constexpr uint64_t kSmall = 64;

Seen look(const Network& network, const std::vector<Tensor>& inputs) {
  Seen seen;
  RunOptions options;
  options.values = [&](std::string_view name, const Tensor& value) {
    seen.dims.emplace(name, value.dims());
    if (!value.is_float() || value.size() <= kSmall) seen.small.emplace(name, value);
  };
  network.run(inputs, options);
  return seen;
}

// A node that is passed through: its output has the elements of its input that this one says.
struct Pass {
  const Node* node = nullptr;  // null: elements stay where they are
  std::string input, output;
};

class Finder {
 public:
  Finder(const Network& network, const std::vector<Tensor>& inputs)
      : network_(network), graph_(network.graph()), seen_(look(network, inputs)) {
    for (const Node& node : graph_.nodes) {
      for (const std::string& name : node.outputs) makers_.emplace(name, &node);
      for (const std::string& name : node.inputs) readers_[name].push_back(&node);
    }
  }

  std::vector<Attention> all() {
    std::vector<Attention> out;
    for (const Node& node : graph_.nodes) {
      if (node.op != "Softmax") continue;
      if (auto found = behind(node)) out.push_back(std::move(*found));
    }
    return out;
  }

 private:
  using Heads = std::vector<std::vector<uint64_t>>;

  const Node* maker(const std::string& name) const {
    const auto at = makers_.find(name);
    return at == makers_.end() ? nullptr : at->second;
  }
  // Null where several nodes read it.
  const Node* reader(const std::string& name) const {
    const auto at = readers_.find(name);
    return at == readers_.end() || at->second.size() != 1 ? nullptr : at->second[0];
  }
  bool is_scalar(const std::string& name) const {
    const auto constant = graph_.constants.find(name);
    if (constant != graph_.constants.end()) return constant->second.size() == 1;
    const auto at = seen_.small.find(name);
    return at != seen_.small.end() && at->second.size() == 1;
  }
  std::optional<size_t> layer_of(const Node& node) const {
    for (size_t i = 0; i < network_.layers().size(); ++i) {
      const Layer& l = network_.layers()[i];
      if (l.node == node.name && node.inputs.size() > 1 && l.name == node.inputs[1]) return i;
    }
    return {};
  }
  static bool moves(const Node& node) {
    static const std::set<std::string_view> kMoves = {"Reshape",   "Transpose", "Squeeze",
                                                      "Unsqueeze", "Split",     "Slice",
                                                      "Gather",    "Flatten",   "Cast"};
    return kMoves.contains(node.op);
  }
  // Which input of a product with a scalar goes on; none where it is no such product.
  std::optional<size_t> scaled(const Node& node) const {
    if (node.inputs.size() != 2) return {};
    if (node.op == "Div")
      return is_scalar(node.inputs[1]) ? std::optional<size_t>(0) : std::nullopt;
    if (node.op != "Mul") return {};
    for (const size_t k : {0, 1}) {
      if (is_scalar(node.inputs[1 - k])) return k;
    }
    return {};
  }

  // Elements of a layer's output, in the order of a value that comes of it.
  struct Traced {
    Projection from;
    Tensor channels;  // each element's, in the shape of the value
  };

  std::optional<Traced> trace(std::string name) const {
    std::vector<Pass> passes;
    Traced out;
    for (;;) {
      const Node* node = maker(name);
      if (!node) return {};
      if (const auto layer = layer_of(*node)) {
        if (node->op != "MatMul" && node->op != "Gemm") return {};
        out.from.layer = *layer;
        if (node->op == "Gemm" && node->inputs.size() > 2) {
          if (!out.from.bias.empty() || !graph_.constant(*node, 2)) return {};
          out.from.bias = node->inputs[2];
        }
        break;
      }
      if (moves(*node)) {
        passes.push_back({node, node->inputs[0], name});
        name = node->inputs[0];
      } else if (const auto k = scaled(*node)) {
        passes.push_back({nullptr, node->inputs[*k], name});
        name = node->inputs[*k];
      } else if (const auto bias = added(*node); bias && out.from.bias.empty()) {
        out.from.bias = node->inputs[*bias];
        passes.push_back({nullptr, node->inputs[1 - *bias], name});
        name = node->inputs[1 - *bias];
      } else {
        return {};
      }
    }
    const Dims& dims = seen_.dims.at(name);
    std::vector<float> channels(elements(dims));
    for (size_t i = 0; i < channels.size(); ++i) {
      channels[i] = static_cast<float>(i % dims.back());
    }
    std::ranges::reverse(passes);
    out.channels = moved(Tensor(dims, std::move(channels)), passes);
    return out;
  }

  // Which input of a sum is a constant for each channel.
  std::optional<size_t> added(const Node& node) const {
    if (node.op != "Add" || node.inputs.size() != 2) return {};
    for (const size_t k : {0, 1}) {
      const Tensor* t = graph_.constant(node, k);
      const auto other = seen_.dims.find(node.inputs[1 - k]);
      const bool fits = t && other != seen_.dims.end() && !other->second.empty() &&
                        t->rank() == 1 && t->size() == other->second.back();
      if (fits) return k;
    }
    return {};
  }

  Tensor moved(Tensor value, const std::vector<Pass>& passes) const {
    for (const Pass& pass : passes) {
      if (!pass.node) continue;
      Graph one;
      one.opset = graph_.opset;
      Node node = *pass.node;
      for (size_t k = 1; k < node.inputs.size(); ++k) {
        const auto constant = graph_.constants.find(node.inputs[k]);
        const auto small = seen_.small.find(node.inputs[k]);
        if (constant != graph_.constants.end())
          one.constants.insert(*constant);
        else if (small != seen_.small.end())
          one.constants.insert(*small);
      }
      one.inputs = {pass.input};
      one.outputs = {pass.output};
      one.nodes = {std::move(node)};
      value = Network(std::move(one)).run({value})[0];
    }
    return value;
  }

  // Of a value [..., tokens, size], or with the last two the other way round: the channels of each
  // head, one for each index of the first dimensions.
  static Heads heads_of(const Tensor& channels, bool turned) {
    const uint64_t last = channels.dims().back(), before = channels.dim(channels.rank() - 2);
    const uint64_t size = turned ? before : last, step = turned ? last : 1;
    Heads out;
    for (uint64_t at = 0; at < channels.size(); at += last * before) {
      std::vector<uint64_t> one;
      for (uint64_t j = 0; j < size; ++j) {
        one.push_back(static_cast<uint64_t>(channels.floats()[at + j * step]));
      }
      out.push_back(std::move(one));
    }
    return out;
  }

  // The product whose rows the softmax is taken of.
  const Node* scores(const Node& softmax) const {
    std::string name = softmax.inputs[0];
    for (const Node* node = maker(name); node; node = maker(name)) {
      if (node->op == "MatMul") return layer_of(*node) ? nullptr : node;
      if (const auto k = scaled(*node)) {
        name = node->inputs[*k];
      } else if (node->op == "Add" || node->op == "Cast") {
        name = node->inputs[0];
      } else {
        return nullptr;
      }
    }
    return nullptr;
  }

  std::optional<Attention> behind(const Node& softmax) const {
    const Node* first = scores(softmax);
    const Node* second = reader(softmax.outputs[0]);
    if (!first || !second || second->op != "MatMul" || second->inputs[0] != softmax.outputs[0]) {
      return {};
    }
    auto q = trace(first->inputs[0]), k = trace(first->inputs[1]), v = trace(second->inputs[1]);
    if (!q || !k || !v) return {};
    Attention out{q->from, k->from, v->from, {}};
    out.query.rows = heads_of(q->channels, false);
    out.key.rows = heads_of(k->channels, true);
    out.value.rows = heads_of(v->channels, false);
    if (!read_by(*second, out)) return {};
    const size_t n = out.output.rows.size();
    for (Projection* p : {&out.query, &out.key, &out.value}) {
      if (p->rows.size() < n) return {};
      p->rows.resize(n);  // the same for every sample
    }
    const bool square = out.query.rows[0].size() == out.key.rows[0].size() &&
                        out.value.rows[0].size() == out.output.rows[0].size();
    return square ? std::optional(std::move(out)) : std::nullopt;
  }

  // The layer that reads what heads give, and the columns of each.
  bool read_by(const Node& product, Attention& out) const {
    std::string name = product.outputs[0];
    const Dims dims = seen_.dims.at(name);
    if (dims.size() < 3) return false;
    const uint64_t size = dims.back(), tokens = dims[dims.size() - 2];
    std::vector<float> places(elements(dims));
    for (size_t i = 0; i < places.size(); ++i) {
      places[i] = static_cast<float>(i / (tokens * size) * size + i % size);
    }
    std::vector<Pass> passes;
    const Node* node = reader(name);
    for (; node && moves(*node); node = reader(name)) {
      passes.push_back({node, name, node->outputs[0]});
      name = node->outputs[0];
    }
    const auto layer = node ? layer_of(*node) : std::nullopt;
    if (!layer || node->inputs[0] != name) return false;
    out.output.layer = *layer;
    const Tensor at = moved(Tensor(dims, std::move(places)), passes);
    const uint64_t width = at.dims().back();
    if (width != network_.layers()[*layer].weight->shape().cols || width % size != 0) return false;
    out.output.rows.assign(width / size, std::vector<uint64_t>(size, width));
    for (uint64_t c = 0; c < width; ++c) {
      const auto place = static_cast<uint64_t>(at.floats()[c]);
      if (place >= width) return false;
      out.output.rows[place / size][place % size] = c;
    }
    return true;
  }

  const Network& network_;
  const Graph& graph_;
  Seen seen_;
  std::map<std::string, const Node*, std::less<>> makers_;
  std::map<std::string, std::vector<const Node*>, std::less<>> readers_;
};

}  // namespace

std::vector<Attention> find_attention(const Network& network, const std::vector<Tensor>& inputs) {
  return Finder(network, inputs).all();
}

}  // namespace pith::network
