// The steps of a network in integers as operators on floats, and the operator that changes scales.
#include <algorithm>
#include <cmath>

#include "integer_steps.h"

namespace pith::network {
namespace {

using Kind = IntegerStep::Kind;

constexpr int64_t kExact = 1 << 24;  // floats hold all integers up to here

std::string name_of(size_t value) { return fmt::format("value{}", value); }

io::OnnxAttribute integers_attribute(std::vector<int64_t> v) {
  io::OnnxAttribute a;
  a.kind = io::OnnxAttribute::Kind::kIntegers;
  a.integers = std::move(v);
  return a;
}

class Simulation {
 public:
  explicit Simulation(const IntegerSteps& steps) : steps_(steps) {
    out_.opset = 13;
    out_.inputs = {name_of(0)};
    out_.outputs = {name_of(steps.output)};
  }

  Graph run() && {
    for (const IntegerStep& s : steps_.steps) {
      try {
        add(s);
      } catch (const Error& e) {
        throw e.in(described(s.node));
      }
    }
    return std::move(out_);
  }

 private:
  Node& node(const IntegerStep& s, std::string op, std::vector<std::string> inputs,
             std::string output) {
    Node n{.name = output,
           .op = std::move(op),
           .inputs = std::move(inputs),
           .outputs = {output},
           .attributes = {}};
    if (n.op == s.node.op) n.attributes = s.node.attributes;
    return out_.nodes.emplace_back(std::move(n));
  }

  void rescale(const IntegerStep& s, const std::vector<Dyadic>& by, size_t in, int64_t low,
               int64_t high, const std::string& output) {
    std::vector<int64_t> b, c;
    for (const Dyadic& d : by) {
      b.push_back(d.b);
      c.push_back(d.c);
    }
    Node& n = node(s, "pith:Rescale", {name_of(in)}, output);
    n.attributes["b"] = integers_attribute(std::move(b));
    n.attributes["c"] = integers_attribute(std::move(c));
    n.attributes["range"] = integers_attribute({low, high});
  }

  void multiply(const IntegerStep& s, std::string op) {
    if (s.largest > kExact) fail(ErrorKind::kUsage, "its sums can leave the 24 bits of floats");
    const std::string w = name_of(s.out) + ".weight", b = name_of(s.out) + ".bias";
    Dims dims = {s.weights.shape.rows, s.weights.shape.cols};
    if (s.kind == Kind::kConvolution) {
      const auto& [v, h] = s.window.at;
      const auto rows = static_cast<uint64_t>(v.kernel), cols = static_cast<uint64_t>(h.kernel);
      dims = {dims[0], dims[1] / rows / cols};
      if (s.window.rank == 2) dims.push_back(rows);
      dims.push_back(cols);
    }
    const auto& codes = s.weights.codes;
    out_.constants.emplace(w, Tensor(dims, std::vector<float>(codes.begin(), codes.end())));
    out_.constants.emplace(
        b, Tensor({s.bias.size()}, std::vector<float>(s.bias.begin(), s.bias.end())));
    Node& n = node(s, std::move(op), {name_of(s.in), w, b}, name_of(s.out));
    if (s.kind != Kind::kProduct) return;
    io::OnnxAttribute turn;
    turn.kind = io::OnnxAttribute::Kind::kInteger;
    turn.integer = 1;
    n.attributes["transB"] = turn;
  }

  void add_branches(const IntegerStep& s) {
    const std::string to = name_of(s.out);
    rescale(s, s.by, s.in, -kMostBranch, kMostBranch, to + ".a");
    rescale(s, s.other_by, s.other, -kMostBranch, kMostBranch, to + ".b");
    node(s, "Add", {to + ".a", to + ".b"}, to + ".sum");
    for (const auto& [name, bound] : {std::pair(".low", s.low), std::pair(".high", s.high)}) {
      out_.constants.emplace(to + name, Tensor({}, std::vector<float>{static_cast<float>(bound)}));
    }
    node(s, "Clip", {to + ".sum", to + ".low", to + ".high"}, to);
  }

  void add(const IntegerStep& s) {
    switch (s.kind) {
      case Kind::kRescale:
        return rescale(s, s.by, s.in, s.low, s.high, name_of(s.out));
      case Kind::kConvolution:
        return multiply(s, "Conv");
      case Kind::kProduct:
        return multiply(s, "Gemm");
      case Kind::kAdd:
        return add_branches(s);
      case Kind::kSum: {
        if (s.largest > kExact) fail(ErrorKind::kUsage, "its sums can leave the 24 bits of floats");
        Node& n = node(s, "ReduceSum", {name_of(s.in)}, name_of(s.out));
        n.attributes["axes"] = integers_attribute({2, 3});
        return;
      }
      case Kind::kRelu:
      case Kind::kMaxPool:
      case Kind::kFlatten:
        node(s, s.node.op, {name_of(s.in)}, name_of(s.out));
        return;
    }
  }

  const IntegerSteps& steps_;
  Graph out_;
};

// round(x b / 2^c), halves upwards, held in a range: exact in float64 for |x| < 2^29.
Operation make_rescale(const Making& m) {
  const std::vector<int64_t> b = m.attributes.integers("b"), c = m.attributes.integers("c");
  const std::vector<int64_t> range = m.attributes.integers("range");
  if (b.empty() || b.size() != c.size() || range.size() != 2)
    fail(ErrorKind::kUsage, "numbers are missing");
  std::vector<double> by;
  for (size_t k = 0; k < b.size(); ++k)
    by.push_back(std::ldexp(static_cast<double>(b[k]), -static_cast<int>(c[k])));
  const auto low = static_cast<double>(range[0]), high = static_cast<double>(range[1]);
  return [=](const Step& s) {
    const Tensor& x = s.in(0);
    uint64_t inner = 1;
    for (size_t k = 2; k < x.rank(); ++k) inner *= x.dim(k);
    std::vector<float> y(x.size());
    for (size_t i = 0; i < y.size(); ++i) {
      const double v = std::floor(x.floats()[i] * by[i / inner % by.size()] + 0.5);
      y[i] = static_cast<float>(std::clamp(v, low, high));
    }
    return only(x.dims(), std::move(y));
  };
}

}  // namespace

void add_rescaling(OperatorTable& table) { table["pith:Rescale"] = make_rescale; }

Graph IntegerNetwork::simulated() const { return Simulation(*steps_).run(); }

}  // namespace pith::network
