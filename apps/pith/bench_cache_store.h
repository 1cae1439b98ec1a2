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
  // Of links that change, the speed at the beginning and, from the deadline on, at the end; the
  // codings that chunks are there in, the finest first.
  std::vector<std::string> changes = {"20-1", "1-20", "10-0.1"};
  std::vector<std::string> levels = {"stream(level=2)", "stream(level=5)", "stream(level=8)"};
  double deadline = 0.3;      // seconds
  double milliseconds = 0.5;  // of the link's latency
  int runs = 5, threads = 0;
  bool json = false;
};

// Seconds to the first token through a Redis server behind links of several speeds: with all chunks
// fetched, with all recomputed, and as PromptStore does it; and behind links whose speed changes,
// with a deadline, in one coding and in several.
void bench_cache_store(const CacheStoreOptions& options);

}  // namespace pith::bench
