// One text that a language model reads and continues: the keys and values of the positions so far,
// and what comes next.
//
//   Session session(model, 2048, 2);
//   MatrixView logits = session.feed(ids);                 // of the last position: 1 x vocabulary
//   while (…) logits = session.feed({&next, 1});
//
// Results do not depend on the number of threads, and up to rounding not on how a text is cut into
// calls. A session is used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "pith/form/matrix.h"
#include "pith/kv/arrays.h"
#include "pith/kv/options.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"
#include "pith/model/routing_observer.h"

namespace pith::model {

enum class Logits : uint8_t {
  kNone,
  kLast,  // one row
  kAll,   // one row for each id: ids * vocabulary floats
};

// How attention takes contexts that were each read by themselves, so that they weigh what they
// would have weighed one after the other (APE: Yang et al. 2025).
struct ContextOptions {
  double temperature = 1;  // their scores are divided by it
  double scale = 1;        // the power of what a query gives to all of them together
};

class Session {
 public:
  // Room for `capacity` positions, at least 1; memory is taken as they fill. Throws
  // ErrorKind::kLimit where the keys and values of all of them need more memory than the machine
  // has available beside `others`: bytes that are promised to other sessions (needed_bytes()) and
  // not taken yet. threads: as thread_count().
  // With `cache`, what its window leaves behind is held in forms: memory falls and so does
  // fidelity; positions that are read in one call, up to 512, see each other as they are. Throws
  // ErrorKind::kUsage for forms that the model's heads cannot have.
  Session(const LanguageModel& model, uint64_t capacity, int threads = 1, uint64_t others = 0,
          std::optional<kv::CacheOptions> cache = {});
  ~Session();
  // Throws what the constructor would of a cache that the model's heads or layers cannot have.
  static void check(const LanguageModel& model, const kv::CacheOptions& cache);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // Reads the ids at the positions position() …, which then have passed. Long texts are worked off
  // in pieces of bounded size. The logits (unscaled, as the head gives them) stay valid until the
  // next call; no ids give none. Throws ErrorKind::kLimit where they do not fit the capacity,
  // kUsage for an id outside the vocabulary; the session then is as it was. kData where a cache is
  // to hold keys or values that are not finite; the session then has read nothing.
  form::MatrixView feed(std::span<const int32_t> ids, Logits which = Logits::kLast);

  // Reads a text of which it is known what will be asked, for caches with `prompts=asked`: in
  // pieces, behind each of which the question is read, too. What stays is chosen by what the
  // question's tokens gave; then the question is forgotten, so that it is to be fed when the text
  // was read (Finch: Corallo and Papotti 2024). A question has 1 to 256 tokens. Throws
  // ErrorKind::kUsage for other questions and other caches, and what feed() throws; the text and
  // the question are to fit the capacity.
  void feed_asked(std::span<const int32_t> ids, std::span<const int32_t> question);

  // Shows it the inputs of all linear layers from the next call of feed() on, and every position to
  // every layer but the head, which sees those whose logits are asked for; empty: nothing any more.
  // Logits stay what they are. What it throws goes through feed().
  void observe(InputObserver observer);
  // Shows it which experts the positions go to that pass through a layer of them; empty: nothing
  // any more.
  void observe_routing(RoutingObserver observer);

  // The keys and values of `count` positions that were read, from `first` on; what lies in forms
  // is decoded. Throws ErrorKind::kUsage past position().
  kv::Arrays keys_values(uint64_t first, uint64_t count) const;
  // Takes the next positions, from position() on, as read: what keys_values() gave of the same text
  // under the same model. At least one more has to be fed for logits. With forms they settle as
  // what is read does. Throws ErrorKind::kUsage for another model's shape or other positions,
  // kLimit for more than the capacity; the session then is as it was. kData as feed() does.
  void adopt(const kv::Arrays& arrays);

  // Takes contexts side by side, behind what was read so far: each what keys_values(position(), n)
  // gave of a session that read the same tokens and then the context. Every context begins at
  // position(); what is fed next goes on behind the longest of them, though position() counts all
  // tokens. Once, until rewind() goes back before them. Throws what adopt() throws, and
  // ErrorKind::kUsage for options that are not positive and finite, models with sliding windows and
  // caches that leave tokens out; the session then is as it was.
  void join(std::span<const kv::Arrays> contexts, const ContextOptions& options = {});
  bool joined() const;

  uint64_t position() const;
  uint64_t capacity() const;
  // Forgets positions from this one on. Throws ErrorKind::kUsage past position(), and for what
  // lies in forms, from which only the beginning is a way back: see rewindable().
  void rewind(uint64_t position);
  // The last position up to this one that rewind() takes.
  uint64_t rewindable(uint64_t position) const;

  const LanguageModel& model() const;
  // Bytes of keys and values when full; with forms, of what they hold now and room for the rest.
  uint64_t cache_bytes() const;
  // Bits that the cache holds of the positions read, tokens in the window counted as numbers of two
  // bytes; and the numbers that keys and values of all of these positions are.
  uint64_t held_bits() const;
  uint64_t read_numbers() const;
  // Of every key-value head, layer by layer, what the tokens that it holds got of the queries that
  // were looked at, up to the last that one of them saw; empty for caches that do not look at
  // attention.
  std::span<const select::AttentionRecord> attention() const;
  // Of every key-value head, layer by layer, how much its attention changes between the latest
  // queries (select::AttentionRecord::variance()); empty for caches that do not look at attention.
  std::vector<double> attention_variances() const;
  // Bytes that a session which has read nothing, and which nobody observes, will take at most: keys
  // and values, what lies between layers, and what the model prepares at its first use.
  uint64_t needed_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::model
