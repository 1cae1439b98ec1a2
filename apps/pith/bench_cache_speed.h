// `pith bench cache-speed`: tokens that are read behind long contexts, with caches beside each
// other and beside llama.cpp's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_measure.h"

namespace pith::bench {

struct CacheSpeedOptions {
  std::string model;  // a GGUF file, so that llama.cpp reads it, too
  std::vector<std::string> caches = {"full", "dense(f16)", "uniform(4, group=32)",
                                     "cache(keys=ggml(q4_0), values=ggml(q4_0), keys_by=token)",
                                     "uniform(2, group=32)"};
  uint64_t depth = 16384, steps = 16;
  int runs = 5, threads = 1;
  Clock clock = Clock::kWall;
  bool json = false;
};
void bench_cache_speed(const CacheSpeedOptions& options);

}  // namespace pith::bench
