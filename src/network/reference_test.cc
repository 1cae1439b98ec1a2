// Networks that onnxruntime 1.17.3 has run, too (tools/make_network_samples.py).
#include <gtest/gtest.h>

#include <cmath>

#include "testing_data.h"

namespace pith::network {
namespace {

using namespace testing;

void expect_as_given(const Network& network, const std::string& name,
                     const RunOptions& options = {}) {
  const std::map<std::string, Tensor> given = arrays_of_file(name + ".npz");
  const std::vector<Tensor> made = network.run({given.at("input")}, options);
  ASSERT_EQ(made.size(), given.size() - 1);
  size_t k = 0;
  for (const std::string& output : graph_of_file(name + ".onnx").outputs) {
    EXPECT_EQ(made[k].dims(), given.at(output).dims()) << output;
    if (made[k].dims() == given.at(output).dims()) {
      EXPECT_LT(difference(made[k], given.at(output)), 3e-6) << output;
    }
    ++k;
  }
}

TEST(Reference, EveryOperatorGivesWhatOnnxruntimeGives) {
  const Network network(graph_of_file("operators.onnx"));
  expect_as_given(network, "operators");
  expect_as_given(network, "operators", {.threads = 2});
}

TEST(Reference, AResidualNetworkWithAndWithoutItsBatchNorms) {
  Graph graph = graph_of_file("residual.onnx");
  expect_as_given(Network(graph), "residual");
  EXPECT_EQ(fold_batch_norms(graph), 9u);
  for (const Node& node : graph.nodes) EXPECT_NE(node.op, "BatchNormalization");
  expect_as_given(Network(graph), "residual");
}

TEST(Reference, AVisionTransformerTakenApart) {
  expect_as_given(Network(graph_of_file("vit.onnx")), "vit");
}

}  // namespace
}  // namespace pith::network
