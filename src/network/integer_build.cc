#include <algorithm>
#include <cmath>

#include "integer_steps.h"

namespace pith::network {
namespace {

using Kind = IntegerStep::Kind;

constexpr int kSumBits = 16;

// A value while the steps are made: value = scale * integer, with a scale for each channel or one.
struct Value {
  size_t number = 0;
  std::vector<double> scales;
  int64_t most = 0;  // no integer is larger, in size
};

class Builder {
 public:
  Builder(const Network& network, const ActivationSamples& seen, std::span<const int> input_bits)
      : network_(network), seen_(seen), bits_(input_bits) {}

  IntegerSteps run() {
    const Graph& g = network_.graph();
    if (g.inputs.size() != 1 || g.outputs.size() != 1) {
      fail(ErrorKind::kUsage, "the network has not one input and one output");
    }
    if (bits_.size() != network_.layers().size()) {
      fail(ErrorKind::kUsage, "bits for {} layers of {}", bits_.size(), network_.layers().size());
    }
    for (const int b : bits_) {
      if (b < 2 || b > 8) fail(ErrorKind::kUsage, "codes of {} bits", b);
    }
    out_.opset = g.opset;
    out_.input = seen_.codes(g.inputs[0], bits_.empty() ? 8 : bits_[0]);
    values_[g.inputs[0]] = {0, {out_.input.scale}, most_of(out_.input)};
    if (!bits_.empty()) coded_[{g.inputs[0], bits_[0]}] = values_[g.inputs[0]];
    for (const Node& node : g.nodes) {
      try {
        add(node);
      } catch (const Error& e) {
        throw e.in(described(node));
      }
    }
    const Value last = rescaled_to(g.outputs[0], seen_.whole(g.outputs[0], kSumBits), {});
    out_.output = last.number;
    out_.output_scale = last.scales[0];
    return std::move(out_);
  }

 private:
  static int64_t most_of(const ActivationSamples::Codes& c) {
    return std::max<int64_t>(c.high, -static_cast<int64_t>(c.low));
  }

  void add(const Node& node) {
    if (node.op == "Conv") return multiply(node, Kind::kConvolution);
    if (node.op == "Gemm") return multiply(node, Kind::kProduct);
    if (node.op == "Relu") return keep_scales(node, Kind::kRelu);
    if (node.op == "MaxPool") return pool(node);
    if (node.op == "GlobalAveragePool") return sum(node);
    if (node.op == "Add") return add_branches(node);
    if (node.op == "Flatten") return flatten(node);
    fail(ErrorKind::kUsage, "there is no way to compute this in integers{}",
         node.op == "BatchNormalization" ? ": it is to be folded into the convolution before" : "");
  }

  const Value& value(const std::string& name) const {
    const auto at = values_.find(name);
    if (at == values_.end()) fail(ErrorKind::kUsage, "'{}' is not computed in integers", name);
    return at->second;
  }

  IntegerStep& step(const Node& node, Kind kind, size_t in) {
    IntegerStep& s = out_.steps.emplace_back();
    s.kind = kind;
    s.node = node;
    s.in = in;
    s.out = out_.values++;
    return s;
  }

  static std::vector<Dyadic> ratios(const std::vector<double>& from, double to) {
    std::vector<Dyadic> out;
    for (const double scale : from) out.push_back(nearest_dyadic(scale / to));
    return out;
  }

  Value rescaled_to(const std::string& name, const ActivationSamples::Codes& codes,
                    const Node& node) {
    const Value& from = value(name);
    IntegerStep& s = step(node, Kind::kRescale, from.number);
    s.by = ratios(from.scales, codes.scale);
    s.low = codes.low;
    s.high = codes.high;
    return {s.out, {codes.scale}, most_of(codes)};
  }

  // The codes of so many bits that a layer multiplies; made once for all that want them.
  Value codes_of(const std::string& name, int bits, const Node& node) {
    const auto at = coded_.find({name, bits});
    if (at != coded_.end()) return at->second;
    return coded_[{name, bits}] = rescaled_to(name, seen_.codes(name, bits), node);
  }

  size_t layer_of(const Node& node) const {
    for (size_t i = 0; i < network_.layers().size(); ++i) {
      if (network_.layers()[i].node == node.name) return i;
    }
    fail(ErrorKind::kUsage, "its weight is no constant");
  }

  void multiply(const Node& node, Kind kind) {
    const size_t number = layer_of(node);
    const Layer& layer = network_.layers()[number];
    auto weights = form::integer_rows(*layer.weight);
    if (!weights) fail(ErrorKind::kUsage, "its weight '{}' has no form of integers", layer.name);
    const Value in = codes_of(node.inputs[0], bits_[number], node);
    IntegerStep& s = step(node, kind, in.number);
    Attributes attributes(node);
    if (kind == Kind::kConvolution) {
      const Tensor& w = *network_.graph().constant(node, 1);
      s.window = window_of(attributes, {w.dims().begin() + 2, w.dims().end()});
      s.groups = layer.groups;
    } else if (attributes.flag("transA", false) || attributes.number("alpha", 1) != 1 ||
               attributes.number("beta", 1) != 1) {
      fail(ErrorKind::kUsage, "its alpha, beta or transA is not supported");
    }
    Value out{s.out, {}, 0};
    for (const float scale : weights->scales) {
      // Outputs without weights are their bias, which is measured in something, too.
      out.scales.push_back(in.scales[0] * (scale > 0 ? scale : 0x1p-10));
    }
    s.bias = bias_of(node, out.scales);
    s.weights = std::move(*weights);
    s.largest = largest_sum(s, in.most);
    if (s.largest > INT32_MAX) fail(ErrorKind::kUsage, "its sums can leave 32 bits");
    out.most = s.largest;
    values_[node.outputs[0]] = std::move(out);
  }

  std::vector<int32_t> bias_of(const Node& node, const std::vector<double>& scales) const {
    std::vector<int32_t> bias(scales.size(), 0);
    if (node.inputs.size() < 3 || node.inputs[2].empty()) return bias;
    const Tensor* b = network_.graph().constant(node, 2);
    if (!b || b->size() != scales.size())
      fail(ErrorKind::kUsage, "its bias is not a constant for each output");
    for (size_t c = 0; c < scales.size(); ++c) {
      const double q = std::round(b->floats()[c] / scales[c]);
      bias[c] = static_cast<int32_t>(std::clamp(q, -0x1p30, 0x1p30));
    }
    return bias;
  }

  static int64_t largest_sum(const IntegerStep& s, int64_t most) {
    int64_t largest = 0;
    const uint64_t cols = s.weights.shape.cols;
    for (uint64_t r = 0; r < s.weights.shape.rows; ++r) {
      int64_t sum = std::abs(static_cast<int64_t>(s.bias[r]));
      for (uint64_t c = 0; c < cols; ++c) sum += std::abs(s.weights.codes[r * cols + c]) * most;
      largest = std::max(largest, sum);
    }
    return largest;
  }

  void keep_scales(const Node& node, Kind kind) {
    Value v = value(node.inputs[0]);
    v.number = step(node, kind, v.number).out;
    values_[node.outputs[0]] = std::move(v);
  }

  void pool(const Node& node) {
    keep_scales(node, Kind::kMaxPool);
    Attributes attributes(node);
    out_.steps.back().window = window_of(attributes, {});
    if (attributes.flag("ceil_mode", false))
      fail(ErrorKind::kUsage, "its ceil_mode is not supported");
  }

  // Means are sums with a smaller scale, so that nothing is divided; images must be as large as
  // those that were seen.
  void sum(const Node& node) {
    Value v = value(node.inputs[0]);
    const Dims& seen = seen_.dims(node.inputs[0]);
    const uint64_t count = elements(std::span(seen).subspan(std::min<size_t>(2, seen.size())));
    if (v.most * static_cast<int64_t>(count) > INT32_MAX) {
      fail(ErrorKind::kUsage, "its sums can leave 32 bits");
    }
    IntegerStep& s = step(node, Kind::kSum, v.number);
    s.count = count;
    v.number = s.out;
    v.most = s.largest = v.most * static_cast<int64_t>(count);
    for (double& scale : v.scales) scale /= static_cast<double>(count);
    values_[node.outputs[0]] = std::move(v);
  }

  void add_branches(const Node& node) {
    const Value &a = value(node.inputs[0]), &b = value(node.inputs[1]);
    const ActivationSamples::Codes codes = seen_.whole(node.outputs[0], kSumBits);
    IntegerStep& s = step(node, Kind::kAdd, a.number);
    s.other = b.number;
    s.by = ratios(a.scales, codes.scale);
    s.other_by = ratios(b.scales, codes.scale);
    s.low = codes.low;
    s.high = codes.high;
    values_[node.outputs[0]] = {s.out, {codes.scale}, most_of(codes)};
  }

  // Channels are no dimension any more, so that there must be one scale.
  void flatten(const Node& node) {
    Value v = value(node.inputs[0]);
    if (v.scales.size() > 1)
      v = rescaled_to(node.inputs[0], seen_.whole(node.inputs[0], kSumBits), node);
    Attributes attributes(node);
    if (attributes.integer("axis", 1) != 1) fail(ErrorKind::kUsage, "its axis is not supported");
    v.number = step(node, Kind::kFlatten, v.number).out;
    values_[node.outputs[0]] = std::move(v);
  }

  const Network& network_;
  const ActivationSamples& seen_;
  std::span<const int> bits_;
  IntegerSteps out_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::pair<std::string, int>, Value> coded_;
};

}  // namespace

IntegerNetwork::IntegerNetwork(const Network& network, const ActivationSamples& seen,
                               std::span<const int> input_bits)
    : steps_(std::make_shared<const IntegerSteps>(Builder(network, seen, input_bits).run())) {}

}  // namespace pith::network
