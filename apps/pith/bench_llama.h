// llama.cpp as a peer, through $PITH_LLAMA (tools/peer_llama_cpp.py).
#pragma once

#include <filesystem>
#include <string>

namespace pith::bench {

struct ModelSpeed {
  double prefill = 0, decode = 0;  // tokens per second
  std::string error;               // set: nothing was measured
};

struct SpeedRun {
  int threads = 1, prefill = 512, decode = 32, runs = 3;
};

bool has_llama();
std::string llama_hint();
ModelSpeed llama(const std::filesystem::path& model, const SpeedRun& run);

}  // namespace pith::bench
