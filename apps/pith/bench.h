// `pith bench`: side-by-side benchmarks. Each prints Markdown tables (or JSON) with Pith, the peers
// that a user would pick instead, and the limit that the data or the machine sets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_measure.h"

namespace pith::bench {

struct Options {
  std::string data = "build/bench-data";  // where tools/bench_data.py puts its files
  std::string work;                       // scratch files; empty: the system's temporary folder
  std::string files = "*";                // names of data sets, a shell pattern
  int runs = 10;                          // the best of so many counts
  Clock clock = Clock::kWall;             // of what runs in memory on one thread
  int threads = 1;
  uint64_t size = uint64_t{512} << 20;  // bytes of the large input
  bool json = false;
  bool quick = false;                        // leave out what takes minutes
  bool prepare = true;                       // run tools/bench_data.py first
  std::vector<std::string> forms;            // expressions; empty: a list of common ones
  std::vector<std::string> parts;            // of the benchmark; empty: all
  std::vector<std::string> recipes, fitted;  // more rows for the weights: names, expressions
  uint64_t windows = 24;                     // of a text that models are measured on
  std::string plots;                         // folder for pictures; empty: among the data
};

void bench_lossless(const Options& options);
void bench_delta(const Options& options);
void bench_threads(const Options& options);
void bench_random(const Options& options);
void bench_run(const Options& options);
void bench_gemv(const Options& options);
void bench_differences(const Options& options);
void bench_video(const Options& options);
void bench_vision(const Options& options);
void bench_diffusion(const Options& options);
void bench_pruning(const Options& options);
void bench_waves(const Options& options);
void bench_cache_stream(const Options& options);
void bench_weights(const Options& options);
void bench_proxies(const Options& options);
void bench_kernels(const std::vector<std::string>& arguments);

}  // namespace pith::bench
