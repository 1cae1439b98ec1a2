// Prompts whose keys and values come from a store as far as it has them.
//
//   PromptStore store(kv::open_store("redis://localhost"), options);
//   store.read(session, prompt);                       // as many positions as are to be had
//   generate(session, prompt, {.read = session.position()}, …);
//   store.push(session, prompt);                       // what the store did not have
//
// While chunks are fetched from the last one backwards, the model reads from the beginning, where
// reading is worth its time; they meet (Cake: Jin et al. 2024, "Compute or Load KV Cache? Why Not
// Both?"). So whatever the link gives, the prompt is there no later than by the better of the two
// alone, but for what it takes to see how fast they are. Of several codings each chunk comes in the
// finest with which the prompt is expected in time (CacheGen: Liu et al. 2024); kv::Controller
// decides both.
//
// A store that cannot be reached, does not answer, is full, or gives what is damaged or foreign is
// said once; the model then reads what is missing.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/base/progress.h"
#include "pith/kv/chunk.h"
#include "pith/kv/store.h"
#include "pith/model/session.h"

namespace pith::model {

struct PromptStoreOptions {
  // ChunkCoding, the finest first: every chunk is put in each. Rotations that they leave open are
  // those of the model.
  std::vector<std::string> codings = {"cache(keys=dense(f32), values=dense(f32))"};
  // Seconds from the beginning of read() until all of the prompt is read, as far as codings allow;
  // without one the finest is fetched.
  double deadline = std::numeric_limits<double>::infinity();
  uint64_t chunk_tokens = 256;          // whole chunks of so many are stored; at least 1
  bool fetch = true, recompute = true;  // one of the two alone, for measurements
  int threads = 1;
  // Gets the first thing that goes wrong.
  std::function<void(const std::string& what)> problem = {};
};

// Of one prompt. Tokens, bytes as stored, seconds.
struct StoreUse {
  uint64_t fetched = 0, recomputed = 0, pushed = 0;  // recomputed: of whole chunks, by read()
  uint64_t fetched_bytes = 0, pushed_bytes = 0;
  std::vector<uint64_t> fetched_in = {};  // each coding, of `fetched`
  double read_seconds = 0, push_seconds = 0;
  StoreUse& operator+=(const StoreUse& other);
};

class PromptStore {
 public:
  // Throws ErrorKind::kUsage for a coding that there is not or that is there twice, chunks of no
  // tokens, and a deadline that is not above 0.
  PromptStore(std::unique_ptr<kv::Store> store, PromptStoreOptions options);
  ~PromptStore();
  PromptStore(const PromptStore&) = delete;
  PromptStore& operator=(const PromptStore&) = delete;

  // Throws ErrorKind::kUsage for a cache that leaves tokens out: not all of what was read is there.
  static void check(const std::optional<kv::CacheOptions>& cache);
  // Throws what kv::ChunkCoding::check() throws of the model's keys and values.
  void check_coding(const LanguageModel& model) const;

  // Brings a session that has read less of the prompt to where the store's chunks end, at most to
  // the last token but one. `cache`: what the session was made with. Of what went wrong with the
  // store nothing is thrown; what check(), Session::feed() and `progress` throw is.
  void read(Session& session, std::span<const int32_t> prompt,
            const std::optional<kv::CacheOptions>& cache = {}, const Progress& progress = {});
  // Puts the whole chunks of a prompt that the session has read, as far as the store lacked them
  // when it was read; none in a coding that is finer than what stands before it was fetched in.
  // Waits for a store that has not said yet what it has, but only once for one that never does. Of
  // what goes wrong only an interruption is thrown.
  void push(const Session& session, std::span<const int32_t> prompt, const Progress& progress = {});

  // How long a token takes the model, as far as it is known: helps the first decision of read().
  void took(uint64_t tokens, double seconds);

  const StoreUse& use() const;  // since read()
  std::string name() const;     // of the store

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::model
