// Runs a measurement in a process of its own, so that CPU time and peak memory are its alone.
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <type_traits>

#include "bench_measure.h"

namespace pith::bench {

struct Usage {
  double wall = 0, cpu = 0;  // seconds
  uint64_t peak = 0;         // bytes resident at most, mapped files included
};

inline double seconds_of(const timeval& t) {
  return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
}

inline double cpu_of(const rusage& r) { return seconds_of(r.ru_utime) + seconds_of(r.ru_stime); }

inline double cpu_now() {
  rusage r{};
  getrusage(RUSAGE_SELF, &r);
  return cpu_of(r);
}

// `work` returns something that can be copied byte by byte. What it throws becomes kData here.
template <class F>
auto in_child(const F& work, Usage& usage) {
  using Result = decltype(work());
  static_assert(std::is_trivially_copyable_v<Result>);
  int ends[2];
  if (pipe(ends) != 0) fail(ErrorKind::kIo, "cannot make a pipe");
  const pid_t child = fork();
  if (child < 0) fail(ErrorKind::kIo, "cannot start a process");
  if (child == 0) {
    close(ends[0]);
    try {
      const Result result = work();
      _exit(write(ends[1], &result, sizeof result) == static_cast<ssize_t>(sizeof result) ? 0 : 1);
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
      _exit(1);
    }
  }
  close(ends[1]);
  Result result{};
  const double start = now();
  const bool whole = read(ends[0], &result, sizeof result) == static_cast<ssize_t>(sizeof result);
  close(ends[0]);
  int status = 0;
  rusage r{};
  wait4(child, &status, 0, &r);
  usage = {now() - start, cpu_of(r), static_cast<uint64_t>(r.ru_maxrss) << 10};
  if (!whole || status != 0) fail(ErrorKind::kData, "a measurement failed (status {})", status);
  return result;
}

}  // namespace pith::bench
