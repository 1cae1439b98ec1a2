// read_onnx_graph() and graph_of() on any bytes.
//
// Asserted, beyond what the sanitizers see: nothing but pith::Error is thrown, and a graph that is
// read has a value for each input of each node.
#include <cstdio>
#include <cstdlib>
#include <set>

#include "pith/network/network.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const pith::Buffer file(pith::Bytes(data, data + size));
    const pith::network::Network network(
        pith::network::graph_of(pith::io::read_onnx_graph(file, "fuzz/m.onnx")));
    const pith::network::Graph& graph = network.graph();
    std::set<std::string> made(graph.inputs.begin(), graph.inputs.end());
    for (const auto& [name, value] : graph.constants) made.insert(name);
    for (const auto& node : graph.nodes) {
      for (const std::string& name : node.inputs) {
        if (name.empty() || made.contains(name)) continue;
        std::fprintf(stderr, "nothing makes %s\n", name.c_str());
        std::abort();
      }
      made.insert(node.outputs.begin(), node.outputs.end());
    }
  } catch (const pith::Error&) {
  }
  return 0;
}
