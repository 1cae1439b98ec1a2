// Chunks of a prompt, fetched by a thread of their own as a kv::Controller says.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pith/kv/chunk.h"
#include "pith/kv/controller.h"
#include "pith/kv/store.h"

namespace pith::model {

// A prompt's chunks in one coding.
struct ChunkLevel {
  std::vector<Hash128> ids;
  std::shared_ptr<const kv::Profile> profile;  // that they are coded with, or null
};

class ChunkFetcher {
 public:
  struct Fetched {
    kv::Arrays arrays;
    uint64_t bytes = 0;
    size_t level = 0;
  };

  // Asks at once which of the chunks there are, at each level, then for the first of them as the
  // controller says, whose seconds are counted from now on. tokens: as kv::Controller takes them.
  ChunkFetcher(kv::Store& store, std::vector<ChunkLevel> levels, std::vector<uint64_t> tokens,
               const kv::ControllerOptions& options);
  ~ChunkFetcher() { stop(); }
  ChunkFetcher(const ChunkFetcher&) = delete;
  ChunkFetcher& operator=(const ChunkFetcher&) = delete;

  // What has come of a chunk, if it has.
  std::optional<Fetched> take(size_t chunk);
  // Of the controller, where this chunk is the first that is not there.
  std::optional<kv::Work> compute(size_t chunk);
  void computed(const kv::Work& work);
  // Whether anything is still to be taken or may come.
  bool more() const;
  // Until something comes, or so long.
  void wait(std::chrono::microseconds longest) const;

  // What is not there yet need not come. What the store holds is still waited for by finished().
  void give_up();
  // Whether the thread has done all that it will.
  bool finished() const;
  // Ends the thread, whatever the store does.
  void stop();
  // After stop(). Of each level and chunk whether the store holds it whole; nothing where it did
  // not say.
  const std::optional<std::vector<std::vector<bool>>>& held() const { return held_; }
  // After stop(). The first thing that went wrong, or nothing.
  const std::string& problem() const { return problem_; }
  // After stop(). What was measured, 0 for what was not.
  double bytes_per_second() const { return controller_.bytes_per_second(); }
  double tokens_per_second() const { return controller_.tokens_per_second(); }

 private:
  using Clock = std::chrono::steady_clock;

  double now() const;
  void run();
  void ask();
  std::optional<kv::Work> next();
  void fetch(const kv::Work& work);
  void bad(const kv::Work& work, std::string_view why);
  void say(std::string_view what);
  void cut();

  kv::Store& store_;
  const std::vector<ChunkLevel> levels_;
  const size_t chunks_;  // that may be fetched
  const Clock::time_point start_ = Clock::now();

  mutable std::mutex mutex_;  // of all below
  mutable std::condition_variable news_;
  bool enough_ = false, cut_ = false, finished_ = false;  // enough_: fetched
  kv::Controller controller_;
  std::map<size_t, Fetched> fetched_;  // and not taken
  std::optional<std::vector<std::vector<bool>>> held_;
  std::string problem_;

  std::thread thread_;  // last: it uses all above
};

}  // namespace pith::model
