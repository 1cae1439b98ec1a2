// Which chunks of a stored cache are fetched, at which level of quality, and which are computed
// again from their text, while a link's bandwidth changes (CacheGen: Liu et al. 2024).
//
// A chunk can be computed once all before it are there, and fetched at any time. So two work at
// once: one computes from the front, one fetches from the back, until they meet (as Jin et al.
// 2024, "Compute or load KV cache?"). Whatever the link does, all chunks are there no later than
// from the link alone or from computing alone, where neither slows the other. The last chunk is
// taken by both; who is done first wins. The controller only decides: it has no clock, no threads.
//
//   Controller c(chunks, {.deadline = 2.0});
//   if (auto w = c.fetch(now)) …                 // read its bytes, telling c.fetched_bytes()
//   if (auto w = c.compute(now)) …               // feed its text
//   c.done(*w, now);
//
// Levels: the finest at which what is left is expected in time, by what link and machine did so
// far; the coarsest where none is.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace pith::kv {

struct ChunkSizes {
  uint64_t tokens = 0;
  std::vector<uint64_t> bytes;  // at each level, the finest first; empty: it is not stored
};

struct ControllerOptions {
  double deadline = std::numeric_limits<double>::infinity();  // seconds, as `now` counts them
  // What is believed before anything was measured; 0: nothing is, and levels begin in the middle.
  double bytes_per_second = 0, tokens_per_second = 0;
  double memory = 0.3;  // seconds after which a measurement counts for 1 / e
};

struct Work {
  enum class Kind : uint8_t { kFetch, kCompute };
  Kind kind = Kind::kFetch;
  size_t chunk = 0;
  size_t level = 0;  // of what is fetched
  bool operator==(const Work&) const = default;
};

class Controller {
 public:
  // Throws ErrorKind::kUsage for chunks with unequal numbers of levels and options that make no
  // sense.
  Controller(std::vector<ChunkSizes> chunks, const ControllerOptions& options = {});

  // The next thing to do, nothing where there is none; one of each kind at a time.
  std::optional<Work> fetch(double now);
  std::optional<Work> compute(double now);
  // It is done, or the chunk is there otherwise; the other's work on this chunk is to be given up.
  void done(const Work& work);
  // It cannot be had: the chunk is left to computing. Of a fetch.
  void failed(const Work& work);

  // What was measured, in pieces of any size, as they come.
  void fetched_bytes(uint64_t bytes, double seconds) { link_.add(bytes, seconds, options_.memory); }
  void computed_tokens(uint64_t n, double seconds) { machine_.add(n, seconds, options_.memory); }
  double bytes_per_second() const { return link_.rate; }
  double tokens_per_second() const { return machine_.rate; }

  bool finished() const;
  bool there(size_t chunk) const { return state_.at(chunk) == State::kThere; }
  // When all is expected at a level, in seconds from now; infinite where nothing is known.
  double expected(size_t level) const;

 private:
  enum class State : uint8_t { kMissing, kThere, kComputeOnly };
  struct Rate {
    double rate = 0;
    void add(uint64_t amount, double seconds, double memory);
  };
  size_t front() const;  // the first chunk that is not there
  std::optional<size_t> back() const;
  size_t best_level(double now) const;

  std::vector<ChunkSizes> chunks_;
  ControllerOptions options_;
  std::vector<State> state_;
  std::optional<size_t> fetching_, computing_;
  Rate link_, machine_;
};

}  // namespace pith::kv
