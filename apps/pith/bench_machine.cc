#include "bench_machine.h"

#include <fmt/core.h>
#include <hwy/targets.h>
#include <zstd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)
__attribute__((target("avx512f"))) uint64_t wide_sum(ByteView data) {
  __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
  const uint8_t* p = data.data();
  for (size_t i = 0; i + 256 <= data.size(); i += 256) {
    a = _mm512_add_epi64(a, _mm512_loadu_si512(p + i));
    b = _mm512_add_epi64(b, _mm512_loadu_si512(p + i + 64));
    c = _mm512_add_epi64(c, _mm512_loadu_si512(p + i + 128));
    d = _mm512_add_epi64(d, _mm512_loadu_si512(p + i + 192));
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d));
  uint64_t lanes[8], total = 0;
  std::memcpy(lanes, &all, sizeof lanes);
  for (const uint64_t lane : lanes) total += lane;
  return total;
}
#endif

uint64_t fastest_sum(ByteView data) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return wide_sum(data);
#endif
  return sum(data);
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

double read_bandwidth(int threads) {
  constexpr size_t kSize = size_t{1} << 30, kPieces = 64;
  const Bytes data(kSize, 1);
  std::atomic<uint64_t> sink = 0;
  const double seconds = best_of(10, [&] {
    parallel_for(threads, kPieces, [&](size_t i) {
      sink += fastest_sum(ByteView(data).subspan(i * (kSize / kPieces), kSize / kPieces));
    });
  });
  return static_cast<double>(kSize) / seconds;
}

std::vector<std::string> describe_machine() {
  return {fmt::format("{}, {} cores usable, SIMD {}", processor(), thread_count(0), simd()),
          fmt::format("{}; zstd {}", compiler(), ZSTD_versionString()), bandwidth(16 << 20),
          bandwidth(256 << 20)};
}

}  // namespace pith::bench
