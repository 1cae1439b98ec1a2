#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pith::bench {

struct CacheStoreOptions {
  std::string model, text;
  uint64_t tokens = 1537;  // of the prompt
  uint64_t chunk_tokens = 256;
  std::vector<std::string> codings = {"cache(keys=dense(f16), values=dense(f16))",
                                      "uniform(4, group=32)"};
  std::vector<double> megabytes = {1, 3, 10, 30, 100, 1000};  // a second
  double milliseconds = 0.5;                                  // of the link's latency
  int runs = 5, threads = 0;
  bool json = false;
};

// Seconds to the first token through a Redis server behind links of several speeds: with all chunks
// fetched, with all recomputed, and as PromptStore does it.
void bench_cache_store(const CacheStoreOptions& options);

}  // namespace pith::bench
