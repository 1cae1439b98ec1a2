// Chunks of a prompt, fetched by a thread of their own from the last one backwards.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "pith/kv/chunk.h"
#include "pith/kv/store.h"

namespace pith::model {

class ChunkFetcher {
 public:
  enum class State : uint8_t {
    kComing,  // or not asked for yet
    kThere,
    kMissing,  // not in the store, damaged, or taken
  };
  struct Fetched {
    kv::Arrays arrays;
    uint64_t bytes = 0;
  };

  // Asks at once which of the chunks there are, then for those from `first` to before `last`.
  // profile: that they are coded with, or null.
  ChunkFetcher(kv::Store& store, std::vector<Hash128> ids, size_t first, size_t last,
               std::shared_ptr<const kv::Profile> profile = {});
  ~ChunkFetcher() { stop(); }
  ChunkFetcher(const ChunkFetcher&) = delete;
  ChunkFetcher& operator=(const ChunkFetcher&) = delete;

  State state(size_t chunk) const;
  Fetched take(size_t chunk);
  // Whether any chunk from this one on has come or may come.
  bool any_from(size_t chunk) const;
  // Until this chunk and all behind it are there, by what came so far; nothing where nothing did.
  std::optional<double> seconds_until(size_t chunk) const;
  // Until something comes, or so long.
  void wait(std::chrono::microseconds longest) const;

  // Whether it is known of all chunks what they are; stop() then does not wait.
  bool finished() const;
  // What is not there yet will not come. A server that does not answer is not waited for.
  void interrupt();
  // The same, and waits for the thread.
  void stop();
  // After stop(). Of each id whether the store holds it whole; nothing where it did not say.
  std::optional<std::vector<bool>> held() const;
  // After stop(). The first thing that went wrong, or nothing.
  const std::string& problem() const { return problem_; }

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void fetch(size_t chunk);
  void say(std::string_view what);
  void set(size_t chunk, State state);

  kv::Store& store_;
  std::shared_ptr<const kv::Profile> profile_;
  const std::vector<Hash128> ids_;
  const size_t first_, last_;

  mutable std::mutex mutex_;  // of all below
  mutable std::condition_variable news_;
  bool stopping_ = false, finished_ = false;
  std::vector<State> states_;  // of first_ …
  std::vector<Fetched> fetched_;
  std::optional<std::vector<std::optional<uint64_t>>> sizes_;
  std::vector<bool> bad_;
  std::string problem_;
  // Of what was asked for: bytes that came whole, of the chunk under way, and seconds.
  uint64_t done_ = 0, arrived_ = 0;
  double round_trip_ = 0, transfer_ = 0, decoding_ = 0;
  std::optional<Clock::time_point> asked_;

  std::thread thread_;  // last: it uses all above
};

}  // namespace pith::model
