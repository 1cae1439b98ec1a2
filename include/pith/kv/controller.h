// Which of a prompt's chunks of keys and values are fetched, at which level of fineness, and which
// are computed from the text, so that all are there in time on a link whose speed is measured and
// changes (CacheGen: Liu et al. 2024).
//
// A chunk can be computed once all before it are there, and fetched at any time. So two work at
// once: one computes from the front, one fetches from the back, until they meet (as Jin et al.
// 2024, "Compute or load KV cache?"). Whatever the link does, all chunks are there about as soon as
// from the better of the two alone. The last chunk is taken by both; who is done first wins. The
// controller only decides: it has no clock, no threads.
//
//   Controller c(tokens, {.deadline = 2.0});
//   c.stored(bytes, now);                        // once it is known
//   if (auto w = c.fetch(now)) …                 // get its bytes, saying c.arrived() as they come
//   if (auto w = c.compute(now)) …               // feed so many of its tokens
//   c.done(*w, now);
//
// Levels: the finest at which what is left is expected in time, by what machine and link did so
// far, if the latter gives half as much from now on; the coarsest where none is. Where nothing is
// known of the link yet: the finest if there is time to compute all, else one in the middle.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace pith::kv {

struct ControllerOptions {
  double deadline = std::numeric_limits<double>::infinity();  // seconds, as `now` counts them
  uint64_t behind = 0;   // tokens that are computed behind the chunks before the deadline
  bool computes = true;  // false: only what cannot be fetched
  // What is believed before anything was measured; 0: nothing is.
  double bytes_per_second = 0, tokens_per_second = 0;
  // Seconds after which a measurement counts for 1 / e, but at most an eighth of the deadline.
  double memory = 0.3;
};

struct Work {
  enum class Kind : uint8_t { kFetch, kCompute };
  Kind kind = Kind::kFetch;
  size_t chunk = 0;
  size_t level = 0;     // of what is fetched
  uint64_t tokens = 0;  // to compute: so many more of the chunk
  bool operator==(const Work&) const = default;
};

// `now`: seconds since the work began.
class Controller {
 public:
  // tokens: of each chunk; those of none are there. Throws ErrorKind::kUsage for options that make
  // no sense.
  explicit Controller(std::vector<uint64_t> tokens, const ControllerOptions& options = {});

  // Of each chunk its bytes at each level, the finest first; 0: it is not stored at that level, and
  // the next coarser one is taken, or a finer one. Throws ErrorKind::kUsage for chunks with unequal
  // numbers of levels.
  void stored(std::vector<std::vector<uint64_t>> bytes, double now);
  // Nothing more can be fetched.
  void give_up();

  // The next thing to do; one of each kind at a time. Nothing to fetch: all is there, or being
  // fetched, or is not stored. Nothing to compute: all is there, or what comes is worth waiting
  // for.
  std::optional<Work> fetch(double now);
  std::optional<Work> compute(double now);
  // More of what is being fetched has come.
  void arrived(uint64_t bytes, double now);
  // It is done, or the chunk is there otherwise; the other's work on this chunk is to be given up.
  void done(const Work& work, double now);
  // It cannot be had: the chunk is left to computing. Of a fetch.
  void failed(const Work& work);

  bool there(size_t chunk) const { return state_.at(chunk) == State::kThere; }
  bool finished() const { return front() == state_.size(); }
  // Whether something that is not there may come from the store.
  bool fetchable() const;
  // Whether what is being fetched has stopped coming, by what came before.
  bool stalled(double now) const;
  // What was measured of late, or believed; 0 where nothing is known.
  double bytes_per_second() const { return link_.value(); }
  double tokens_per_second() const { return machine_.value(); }

 private:
  enum class State : uint8_t { kMissing, kThere, kComputeOnly };
  struct Rate {
    double believed = 0, amount = 0, seconds = 0;  // measured: what is old counts for less
    void add(uint64_t n, double in, double memory);
    double value() const { return seconds > 0 ? amount / seconds : believed; }
  };
  size_t front() const;  // the first chunk that is not there
  std::optional<size_t> back() const;
  size_t levels() const { return bytes_.empty() ? 0 : bytes_.front().size(); }
  size_t taken(size_t chunk, size_t level) const;
  double missing_bytes(size_t from, size_t level) const;
  double link_rate(double now) const;
  double expected(size_t level, double bytes_per_second) const;
  size_t best_level(double now) const;
  uint64_t worth_computing(size_t chunk, double now) const;

  std::vector<uint64_t> tokens_;  // that are left to compute, of each chunk
  uint64_t all_tokens_ = 0;
  ControllerOptions options_;
  std::vector<std::vector<uint64_t>> bytes_;  // of each chunk at each level, once it is known
  std::vector<State> state_;
  std::optional<Work> fetching_, computing_;
  Rate link_, machine_;
  double heard_ = 0, began_ = 0;  // of the link last; when what is being computed was begun
  double round_trip_ = 0;
  uint64_t arrived_ = 0, piece_ = 0;  // bytes of what is being fetched; of the last that came
};

}  // namespace pith::kv
