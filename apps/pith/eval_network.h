// pith eval for networks that ONNX files hold: their outputs beside those of the original.
#pragma once

#include <cstdint>
#include <string>

namespace pith::command {

// An ONNX file, or an archive of one.
bool is_network(const std::string& path);

struct NetworkEvalArguments {
  std::string model, against;
  std::string inputs;    // an npy or npz file; empty: random numbers
  uint64_t samples = 8;  // of random numbers, where the network leaves the first dimension open
  int threads = 0;
  bool json = false;
};
void eval_network(const NetworkEvalArguments& arguments);

}  // namespace pith::command
