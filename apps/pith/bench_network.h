// Recipes on the layers of any network of ONNX, at equal bytes.
#pragma once

#include <string>
#include <vector>

namespace pith::bench {

struct NetworkOptions {
  std::string network, samples;      // an ONNX file, and an npy or npz file of its inputs
  std::vector<std::string> recipes;  // empty: all that are for networks
  std::vector<double> sizes = {5};   // bits a weight, of the whole archive
  int threads = 1;
  bool json = false;
};
void bench_network(const NetworkOptions& options);

}  // namespace pith::bench
