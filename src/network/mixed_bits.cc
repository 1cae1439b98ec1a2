#include "pith/network/mixed_bits.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/budget/solve.h"
#include "pith/network/curvature.h"

namespace pith::network {
namespace {

form::FormPtr integers_of(const form::Matrix& weights, int bits) {
  return form::encode(form::parse(fmt::format("uniform({}, group=row, scales=f32)", bits)),
                      weights.view());
}

double squared_error(const form::Matrix& a, const form::Matrix& b) {
  double sum = 0;
  for (size_t i = 0; i < a.values.size(); ++i) {
    const double d = static_cast<double>(a.values[i]) - b.values[i];
    sum += d * d;
  }
  return sum;
}

// Products of a layer for one image.
double products(const Network& network, const ActivationSamples& seen, const Layer& layer) {
  const auto& nodes = network.graph().nodes;
  const auto node = std::ranges::find(nodes, layer.node, &Node::name);
  const Dims& dims = seen.dims(node->outputs.at(0));
  const uint64_t images = std::max<uint64_t>(1, dims.empty() ? 1 : dims[0]);
  return static_cast<double>(elements(dims) / images * layer.weight->shape().cols);
}

}  // namespace

budget::Problem bits_problem(const Network& network, const ActivationSamples& seen,
                             std::span<const int> levels, std::span<const double> curvature) {
  if (curvature.size() != network.layers().size() || levels.empty()) {
    fail(ErrorKind::kUsage, "{} curvatures for {} layers", curvature.size(),
         network.layers().size());
  }
  budget::Problem problem{.resources = {"bytes", "bit operations"}, .parts = {}};
  for (size_t i = 0; i < network.layers().size(); ++i) {
    const Layer& layer = network.layers()[i];
    budget::Part part{.name = layer.name, .candidates = {}};
    const form::Matrix weights = network.decoded(i);
    const double work = products(network, seen, layer);
    for (const int b : levels) {
      if (b < 2 || b > 8) fail(ErrorKind::kUsage, "codes of {} bits", b);
      const form::FormPtr form = integers_of(weights, b);
      const double error = squared_error(weights, form::decode(*form));
      part.candidates.push_back({fmt::format("{} bits", b),
                                 std::max(0.0, curvature[i]) * error,
                                 {static_cast<double>(form::bits(*form) / 8), work * b * b}});
    }
    if (i == 0 || i + 1 == network.layers().size()) part.fixed = levels.size() - 1;
    problem.parts.push_back(std::move(part));
  }
  return problem;
}

Network with_integer_weights(Network network, std::span<const int> bits) {
  if (bits.size() != network.layers().size()) {
    fail(ErrorKind::kUsage, "bits for {} layers of {}", bits.size(), network.layers().size());
  }
  for (size_t i = 0; i < bits.size(); ++i) {
    network.set_form(i, integers_of(network.decoded(i), bits[i]));
  }
  return network;
}

MixedBits with_mixed_bits(const Network& network, const Tensor& images,
                          std::span<const int> classes, const budget::Goal& goal,
                          const MixedBitsOptions& options) {
  const ActivationSamples seen(network, images, 1 << 14, options.threads);
  const auto loss = [&](const Network& n) {
    return cross_entropy(n.run({images}, {.threads = options.threads})[0], classes);
  };
  std::vector<double> curvature;
  for (size_t i = 0; i < network.layers().size(); ++i) {
    curvature.push_back(
        mean_curvature(network, i, loss, {.probes = options.probes, .seed = options.seed}));
  }
  budget::Problem problem = bits_problem(network, seen, options.levels, curvature);
  const std::vector<size_t> chosen =
      options.choose ? options.choose(problem, goal)
                     : budget::solve(problem, goal, {.solver = budget::Solver::kInteger}).chosen;
  budget::Totals totals = budget::totals(problem, chosen);
  std::vector<int> bits;
  for (const size_t level : chosen) bits.push_back(options.levels.at(level));
  IntegerNetwork integers(with_integer_weights(network, bits), seen, bits);
  return {std::move(bits), std::move(problem), std::move(totals), std::move(integers)};
}

}  // namespace pith::network
