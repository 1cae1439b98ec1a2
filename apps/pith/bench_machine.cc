#include "bench_machine.h"

#include <fmt/core.h>
#include <hwy/targets.h>
#include <zstd.h>

#include <cstring>
#include <fstream>

#include "bench_measure.h"
#include "pith/base/bytes.h"
#include "pith/base/parallel.h"

namespace pith::bench {
namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

const char* simd() {
  const int64_t targets = hwy::SupportedTargets();
  return hwy::TargetName(targets & -targets);  // the lowest bit is the best target
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

// Sums 64-bit words in eight lanes, so that loads and not additions are the limit.
uint64_t sum(ByteView data) {
  uint64_t lanes[8] = {};
  for (size_t i = 0; i + 64 <= data.size(); i += 64) {
    uint64_t words[8];
    std::memcpy(words, data.data() + i, sizeof words);
    for (int k = 0; k < 8; ++k) lanes[k] += words[k];
  }
  uint64_t total = 0;
  for (const uint64_t lane : lanes) total += lane;
  return total;
}

std::string bandwidth(size_t bytes) {
  Bytes from(bytes, 1), to(bytes, 2);
  const double copy = best_of(20, [&] { std::memcpy(to.data(), from.data(), bytes); });
  volatile uint64_t sink = 0;
  const double read = best_of(20, [&] { sink = sink + sum(from); });
  const double gb = static_cast<double>(bytes) / 1e9;
  return fmt::format("{} MiB: memcpy {:.1f} GB/s, read {:.1f} GB/s (one thread)", bytes >> 20,
                     gb / copy, gb / read);
}

}  // namespace

std::vector<std::string> describe_machine() {
  return {fmt::format("{}, {} cores usable, SIMD {}", processor(), thread_count(0), simd()),
          fmt::format("{}; zstd {}", compiler(), ZSTD_versionString()), bandwidth(16 << 20),
          bandwidth(256 << 20)};
}

}  // namespace pith::bench
