#include "pith/network/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/network/curvature.h"
#include "testing_data.h"

namespace pith::network {
namespace {

using namespace testing;
using Kind = io::OnnxAttribute::Kind;

io::OnnxAttribute integers(std::vector<int64_t> v) {
  io::OnnxAttribute a;
  a.kind = Kind::kIntegers;
  a.integers = std::move(v);
  return a;
}
io::OnnxAttribute number(float v) {
  io::OnnxAttribute a;
  a.kind = Kind::kFloat;
  a.number = v;
  return a;
}
io::OnnxAttribute integer(int64_t v) {
  io::OnnxAttribute a;
  a.kind = Kind::kInteger;
  a.integer = v;
  return a;
}

using Given = std::map<std::string, io::OnnxAttribute, std::less<>>;

// A graph of one node that reads x, and constants c0, c1, ….
Graph one(std::string op, Given attributes, std::vector<Tensor> constants = {},
          uint64_t opset = 13) {
  Graph g;
  g.opset = opset;
  g.inputs = {"x"};
  g.outputs = {"y"};
  Node node{.name = "it",
            .op = std::move(op),
            .inputs = {"x"},
            .outputs = {"y"},
            .attributes = std::move(attributes)};
  for (size_t k = 0; k < constants.size(); ++k) {
    node.inputs.push_back(fmt::format("c{}", k));
    g.constants.emplace(node.inputs.back(), constants[k]);
  }
  g.nodes.push_back(std::move(node));
  return g;
}

Tensor counting(Dims dims) {
  std::vector<float> values(elements(dims));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return {std::move(dims), std::move(values)};
}

std::vector<float> values(const Graph& graph, const Tensor& x) {
  const Tensor y = Network(graph).run({x})[0];
  return {y.floats().begin(), y.floats().end()};
}

template <class Call>
std::string message(ErrorKind kind, const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

using Floats = std::vector<float>;

TEST(Network, OlderOperatorsHaveAttributesForInputs) {
  const Tensor x = counting({1, 4});
  EXPECT_EQ(values(one("Clip", {{"min", number(1)}, {"max", number(2)}}, {}, 9), x),
            (Floats{1, 1, 2, 2}));
  EXPECT_EQ(
      values(one("Slice",
                 {{"starts", integers({1})}, {"ends", integers({-1})}, {"axes", integers({1})}}, {},
                 9),
             x),
      (Floats{1, 2}));
  EXPECT_EQ(Network(one("Squeeze", {{"axes", integers({0})}}, {}, 11)).run({x})[0].dims(), Dims{4});
  EXPECT_EQ(Network(one("Unsqueeze", {{"axes", integers({0, 3})}}, {}, 11)).run({x})[0].dims(),
            (Dims{1, 1, 4, 1}));
  EXPECT_EQ(values(one("Pad", {{"pads", integers({0, 1, 0, 0})}, {"value", number(9)}}, {}, 9), x),
            (Floats{9, 0, 1, 2, 3}));
  // All dimensions from the axis on are one.
  const Floats y =
      values(one("Softmax", {{"axis", integer(1)}}, {}, 11), Tensor({1, 2, 2}, Floats(4, 0)));
  EXPECT_EQ(y, Floats(4, 0.25F));
}

TEST(Network, WhatIsNotSupportedIsRefusedBeforeAnythingIsComputed) {
  const auto refused = [](const Graph& g) {
    return message(ErrorKind::kUsage, [&] { Network n(g); });
  };
  EXPECT_EQ(refused(one("LSTM", {})), "node 'it' (LSTM): this operator is not supported");
  EXPECT_NE(refused(one("Relu", {{"odd", integer(1)}})).find("'odd' is not supported"),
            std::string::npos);
  EXPECT_NE(refused(one("Conv", {})).find("node 'it' (Conv): its weight is no constant"),
            std::string::npos);
  const Tensor w = counting({2, 1, 3, 3});
  EXPECT_NE(refused(one("Conv", {{"strides", integers({0, 1})}}, {w})).find("'strides' has 0"),
            std::string::npos);
  EXPECT_NE(refused(one("Conv", {{"pads", integers({1})}}, {w})).find("'pads'"), std::string::npos);
  EXPECT_NE(refused(one("Conv", {{"group", integer(3)}}, {w})).find("2 outputs in 3 groups"),
            std::string::npos);
  EXPECT_NE(refused(one("Cast", {{"to", integer(8)}})).find("type 8"), std::string::npos);
}

TEST(Network, ShapesThatDoNotFitAreErrorsWithTheNode) {
  const auto refused = [](const Graph& g, const Tensor& x, ErrorKind kind = ErrorKind::kData) {
    const Network n(g);
    return message(kind, [&] { n.run({x}); });
  };
  const Tensor w = counting({2, 1, 3, 3});
  EXPECT_NE(refused(one("Conv", {}, {w}), counting({1, 1, 2, 5})).find("node 'it' (Conv)"),
            std::string::npos);
  EXPECT_NE(refused(one("Conv", {}, {w}), counting({1, 2, 5, 5})).find("2 channels"),
            std::string::npos);
  EXPECT_NE(refused(one("Add", {}, {counting({3})}), counting({4})).find("do not fit"),
            std::string::npos);
  EXPECT_NE(refused(one("MatMul", {}, {counting({3, 2})}), counting({4})).find("4 elements"),
            std::string::npos);
  const Tensor far({1}, std::vector<int64_t>{7});
  EXPECT_NE(refused(one("Gather", {}, {far}), counting({4})).find("7"), std::string::npos);
  // A size that memory does not have is refused before it is asked for.
  const Tensor huge({3}, std::vector<int64_t>{1 << 20, 1 << 20, 4});
  EXPECT_NE(
      refused(one("Expand", {}, {huge}), counting({4}), ErrorKind::kLimit).find("larger than"),
      std::string::npos);
  const Tensor wide({2}, std::vector<int64_t>{INT64_MAX, INT64_MAX});
  refused(one("Reshape", {}, {wide}), counting({4}), ErrorKind::kLimit);
  EXPECT_NE(
      refused(one("Relu", {}), Tensor({1}, std::vector<int64_t>{1})).find("floats are needed"),
      std::string::npos);
}

TEST(Network, ResultsAreTheSameForAnyNumberOfThreads) {
  const Network network(graph_of_file("residual.onnx"));
  const Tensor x = arrays_of_file("residual.npz").at("input");
  const Tensor one_thread = network.run({x})[0], two = network.run({x}, {.threads = 2})[0];
  EXPECT_TRUE(std::ranges::equal(one_thread.floats(), two.floats()));
}

TEST(Network, LayersAreMultipliedByAsForms) {
  Graph graph = graph_of_file("vit.onnx");
  Network network(graph);
  const Tensor x = arrays_of_file("vit.npz").at("input");
  const Tensor before = network.run({x})[0];
  for (size_t i = 0; i < network.layers().size(); ++i) {
    network.set_form(i, form::encode(form::parse("uniform(8, group=64) + sparse(1%)"),
                                     network.decoded(i).view()));
  }
  const double apart = difference(network.run({x})[0], before);
  EXPECT_GT(apart, 0);
  EXPECT_LT(apart, 0.03);
  // As a network of the decoded weights, but for inputs that are rounded to bytes.
  Network decoded = network;
  for (size_t i = 0; i < network.layers().size(); ++i) {
    decoded.set_form(i, form::encode(form::parse("dense(f32)"), network.decoded(i).view()));
  }
  EXPECT_LT(difference(decoded.run({x})[0], network.run({x})[0]), 0.03);
  EXPECT_NE(message(ErrorKind::kUsage, [&] { network.set_form(0, network.layers()[1].weight); })
                .find("the form"),
            std::string::npos);
}

TEST(Network, InputsOfLayersAreSeen) {
  const Network network(graph_of_file("residual.onnx"));
  std::map<size_t, uint64_t> vectors;
  RunOptions options;
  options.inputs = [&](size_t layer, form::MatrixView x) {
    EXPECT_EQ(x.shape.cols, network.layers()[layer].weight->shape().cols);
    vectors[layer] += x.shape.rows;
  };
  network.run({arrays_of_file("residual.npz").at("input")}, options);
  EXPECT_EQ(vectors.size(), 10u);
  EXPECT_EQ(vectors[0], 2u * 24 * 24);
  EXPECT_EQ(vectors[9], 2u);
}

TEST(Network, BatchNormsStayWhereTheConvolutionIsReadByOthers) {
  Graph g = one("Conv", {}, {counting({2, 1, 1, 1})});
  const Tensor ones({2}, Floats{1, 1});
  g.nodes[0].outputs = {"c"};
  for (const char* name : {"s", "b", "m", "v"}) g.constants.emplace(name, ones);
  g.nodes.push_back({"norm", "BatchNormalization", {"c", "s", "b", "m", "v"}, {"n"}, {}});
  g.nodes.push_back({"sum", "Add", {"c", "n"}, {"y"}, {}});
  EXPECT_EQ(fold_batch_norms(g), 0u);
  g.nodes[2].inputs = {"n", "n"};
  const Floats before = values(g, counting({1, 1, 1, 2}));
  EXPECT_EQ(fold_batch_norms(g), 1u);
  const Floats after = values(g, counting({1, 1, 1, 2}));
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(before[i], after[i], 1e-6);
}

TEST(Curvature, IsThatOfAQuadraticLoss) {
  // The loss is the mean square of the outputs, whose Hessian is known: 2 x xᵀ / outputs.
  const Tensor x({1, 4}, Floats{1, 2, 0.5F, 1});
  const Network network(one("MatMul", {}, {counting({4, 3})}));
  const auto loss = [&](const Network& n) {
    double sum = 0;
    const Tensor y = n.run({x})[0];
    for (const float v : y.floats()) sum += static_cast<double>(v) * v;
    return sum / 3;
  };
  const double mean = 2.0 / 3 * (1 + 4 + 0.25 + 1) / 4;
  EXPECT_NEAR(mean_curvature(network, 0, loss, {.probes = 200}), mean, 0.15 * mean);
}

TEST(Curvature, LossesOfClasses) {
  const Tensor logits({2, 3}, Floats{0, 0, 0, 5, 0, 0});
  const std::vector<int> classes = {2, 0};
  EXPECT_NEAR(cross_entropy(logits, classes), (std::log(3) + std::log(1 + 2 * std::exp(-5))) / 2,
              1e-9);
  EXPECT_EQ(accuracy(logits, classes), 0.5);
  EXPECT_THROW(accuracy(logits, std::vector<int>{3, 0}), Error);
}

}  // namespace
}  // namespace pith::network
