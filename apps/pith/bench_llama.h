// llama.cpp as a peer, through $PITH_LLAMA (tools/peer_llama_cpp.py).
#pragma once

#include <cstdint>
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

// Seconds of a token that is read behind `depth` others, and behind none.
struct DeepRun {
  double deep = 0, shallow = 0;
  std::string error;  // set: nothing was measured
};
struct DeepOptions {
  std::string type;  // of its cache, "f16", "q8_0", "q4_0"; attention is its fused one
  uint64_t depth = 0, steps = 0;
  int runs = 1, threads = 1;
  bool cpu_time = false;  // instead of wall time
};
DeepRun llama_behind(const std::filesystem::path& model, const DeepOptions& options);

}  // namespace pith::bench
