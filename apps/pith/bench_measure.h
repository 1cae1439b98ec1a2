// Timing of codecs in memory: the same rules for Pith and for every peer.
//
// Contexts and buffers are made once and reused; every call is repeated, up to a number of runs and
// a few seconds, and the fastest counts; every result is compared with the original.
#pragma once

#include <ctime>
#include <string>

#include "pith/base/bytes.h"

namespace pith::bench {

// The calling thread's CPU time counts what a quiet machine would take, on one that is not quiet.
enum class Clock { kWall, kCpu };

inline double now(Clock clock = Clock::kWall) {
  timespec t{};
  clock_gettime(clock == Clock::kWall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class F>
double time_of(const F& f, Clock clock = Clock::kWall) {
  const double start = now(clock);
  f();
  return now(clock) - start;
}

// Seconds of the fastest of `runs` calls; slow calls are not repeated beyond 3 seconds in all.
template <class F>
double best_of(int runs, const F& f, Clock clock = Clock::kWall) {
  double best = time_of(f, clock), total = best;
  for (int i = 1; i < runs && total < 3; ++i) {
    const double t = time_of(f, clock);
    if (t < best) best = t;
    total += t;
  }
  return best;
}

// Holds its own coded bytes, so that nothing is allocated while the clock runs.
class Codec {
 public:
  explicit Codec(std::string name) : name_(std::move(name)) {}
  virtual ~Codec() = default;
  const std::string& name() const { return name_; }
  virtual uint64_t encode(ByteView raw) = 0;     // bytes taken
  virtual void decode(MutableByteView raw) = 0;  // what encode() was given last

 private:
  std::string name_;
};

struct Measurement {
  std::string name;
  uint64_t raw = 0, coded = 0;
  double encode = 0, decode = 0;  // seconds
  std::string error;              // set: nothing was measured
};

// `back`: as large as raw; overwritten. Throws kData when the codec does not give the bytes back.
Measurement measure(Codec& codec, ByteView raw, MutableByteView back, int runs, Clock clock);

}  // namespace pith::bench
