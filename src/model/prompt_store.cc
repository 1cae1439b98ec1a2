#include "pith/model/prompt_store.h"

#include <algorithm>
#include <chrono>

#include "chunk_fetcher.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/model_hash.h"

namespace pith::model {
namespace {

using Clock = std::chrono::steady_clock;
using Fetch = ChunkFetcher::State;

// Positions that are read between two looks at what has come.
constexpr uint64_t kPiece = 64;
// Of the time that reading all would take: so long nothing is done until the first byte comes.
constexpr double kPatience = 0.05;
constexpr auto kLook = std::chrono::microseconds(500);
// Of a model that has read nothing yet, a second and a thread.
constexpr double kOperations = 3e10;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The tokens from `begin` on.
kv::Arrays tail(const kv::Arrays& a, uint64_t begin) {
  kv::Arrays out{.heads = a.heads,
                 .first = a.first + begin,
                 .tokens = a.tokens - begin,
                 .head_size = a.head_size};
  const uint64_t row = a.tokens * a.head_size, from = begin * a.head_size;
  for (uint64_t h = 0; h < a.all_heads(); ++h) {
    const auto copy = [&](const std::vector<float>& all, std::vector<float>& to) {
      to.insert(to.end(), all.data() + h * row + from, all.data() + (h + 1) * row);
    };
    copy(a.keys, out.keys);
    copy(a.values, out.values);
  }
  return out;
}

}  // namespace

StoreUse& StoreUse::operator+=(const StoreUse& other) {
  fetched += other.fetched;
  recomputed += other.recomputed;
  pushed += other.pushed;
  fetched_bytes += other.fetched_bytes;
  pushed_bytes += other.pushed_bytes;
  read_seconds += other.read_seconds;
  push_seconds += other.push_seconds;
  return *this;
}

struct PromptStore::State {
  State(std::unique_ptr<kv::Store> to, PromptStoreOptions o)
      : store(std::move(to)),
        options(std::move(o)),
        coding(kv::ChunkCoding::parse(options.coding)) {
    if (options.chunk_tokens == 0) fail(ErrorKind::kUsage, "chunks of 0 tokens");
  }

  void say(const std::string& what) {
    if (what.empty() || said) return;
    said = true;
    if (options.problem) options.problem(what);
  }

  void make_chain(const Session& session, std::span<const int32_t> prompt,
                  const std::optional<kv::CacheOptions>& cache) {
    const LanguageModel& model = session.model();
    if (!hashed || &hashed->model.weights() != &model.weights() ||
        hashed->capacity != session.capacity()) {
      hashed = Hashed{model, session.capacity()};
      maker.model = model_hash(model, session.capacity(), options.threads);
    }
    maker.coding = coding.name();
    maker.cache = cache ? cache->name() : "";
    ids = kv::chain(maker, prompt, options.chunk_tokens);
  }

  double token_seconds(const LanguageModel& model) const {
    if (measured) return *measured;
    // Two operations for each weight, which mostly has two bytes.
    return static_cast<double>(model.weight_bytes()) / kOperations / thread_count(options.threads);
  }

  void took(uint64_t tokens, double seconds) {
    if (tokens == 0) return;
    const double each = seconds / static_cast<double>(tokens);
    measured = measured ? (*measured + each) / 2 : each;
  }

  void recompute(Session& session, std::span<const int32_t> prompt, uint64_t count) {
    const Clock::time_point start = Clock::now();
    session.feed(prompt.subspan(session.position(), count), Logits::kNone);
    took(count, seconds_since(start));
    use.recomputed += count;
  }

  // How many tokens of the chunk in front are worth reading now; 0: it is better to wait for it.
  // reading: seconds that `rest` of its tokens take, and all that may be read; waited: so far.
  uint64_t worth_reading(const ChunkFetcher& from, size_t chunk, uint64_t rest, double reading,
                         double all, double waited) const {
    if (!options.recompute) return 0;
    const auto until = from.seconds_until(chunk);
    if (until ? *until < reading : waited < kPatience * all) return 0;
    // Long stretches are read faster, but only between them is there a look at what has come.
    return until && *until > 2 * reading ? rest : std::min(rest, kPiece);
  }

  // False: it is none of this model's, whatever it says of itself.
  bool adopt(Session& session, ChunkFetcher::Fetched fetched) {
    const uint64_t in = session.position() - fetched.arrays.first;
    try {
      session.adopt(in == 0 ? fetched.arrays : tail(fetched.arrays, in));
    } catch (const Error& e) {
      say(fmt::format("{}: {}", store->name(), e.what()));
      return false;
    }
    use.fetched += fetched.arrays.tokens - in;
    use.fetched_bytes += fetched.bytes;
    return true;
  }

  void meet(Session& session, std::span<const int32_t> prompt, uint64_t end, ChunkFetcher& from,
            const Progress& progress) {
    const Clock::time_point start = Clock::now();
    const uint64_t size = options.chunk_tokens, begin = session.position();
    while (session.position() < end) {
      const uint64_t at = session.position(), chunk = at / size, rest = (chunk + 1) * size - at;
      report(progress, at, prompt.size());
      if (!from.any_from(chunk)) break;
      const Fetch state = from.state(chunk);
      const double token = token_seconds(session.model());
      if (state == Fetch::kThere) {
        if (!adopt(session, from.take(chunk))) break;
      } else if (state == Fetch::kMissing) {
        recompute(session, prompt, rest);
      } else {
        const uint64_t count =
            worth_reading(from, chunk, rest, token * static_cast<double>(rest),
                          token * static_cast<double>(end - begin), seconds_since(start));
        count == 0 ? from.wait(kLook) : recompute(session, prompt, count);
      }
    }
  }

  void read(Session& session, std::span<const int32_t> prompt, const Progress& progress) {
    held.reset();
    if (ids.empty() || !options.fetch) return;
    const uint64_t last = (prompt.size() - 1) / options.chunk_tokens;
    const uint64_t first = std::min(session.position() / options.chunk_tokens, last);
    fetcher = std::make_unique<ChunkFetcher>(*store, ids, first, last, coding.profile());
    meet(session, prompt, last * options.chunk_tokens, *fetcher, progress);
    fetcher->finished() ? settle() : fetcher->interrupt();
  }

  // Nothing more is fetched; it is known then what the store holds.
  void settle() {
    if (!fetcher) return;
    fetcher->stop();
    held = fetcher->held();
    say(fetcher->problem());
    fetcher.reset();
  }

  void push(const Session& session, std::span<const int32_t> prompt, const Progress& progress) {
    settle();
    if (!held && options.fetch) return;  // nobody there
    const uint64_t size = options.chunk_tokens;
    for (size_t c = 0; c < ids.size() && (c + 1) * size <= session.position(); ++c) {
      if (held && (*held)[c]) continue;
      report(progress, c * size, prompt.size());
      const Hash128 before = c == 0 ? kv::chain_root(maker) : ids[c - 1];
      const Bytes chunk = kv::write_chunk(maker, coding, before, prompt.subspan(c * size, size),
                                          session.keys_values(c * size, size));
      store->put(ids[c], chunk);
      use.pushed += size;
      use.pushed_bytes += chunk.size();
    }
    store->flush();
  }

  std::unique_ptr<kv::Store> store;
  PromptStoreOptions options;
  kv::ChunkCoding coding;
  bool said = false;
  struct Hashed {
    LanguageModel model;
    uint64_t capacity;
  };
  std::optional<Hashed> hashed;    // what maker.model is the hash of
  std::optional<double> measured;  // seconds for a token
  // Of the prompt that was read last.
  kv::ChunkMaker maker;
  std::vector<Hash128> ids;
  std::optional<std::vector<bool>> held;  // by the store
  StoreUse use;
  std::unique_ptr<ChunkFetcher> fetcher;  // last: it uses the store
};

PromptStore::PromptStore(std::unique_ptr<kv::Store> store, PromptStoreOptions options)
    : state_(std::make_unique<State>(std::move(store), std::move(options))) {}
PromptStore::~PromptStore() = default;

void PromptStore::check(const std::optional<kv::CacheOptions>& cache) {
  if (!cache || !cache->keep) return;
  fail(ErrorKind::kUsage,
       "a store of keys and values does not go with a cache that leaves tokens out (`keep`)");
}

void PromptStore::read(Session& session, std::span<const int32_t> prompt,
                       const std::optional<kv::CacheOptions>& cache, const Progress& progress) {
  State& s = *state_;
  check(cache);
  s.settle();
  s.use = {};
  s.ids.clear();
  if (prompt.empty()) return;
  const Clock::time_point start = Clock::now();
  s.make_chain(session, prompt, cache);
  s.read(session, prompt, progress);
  s.use.read_seconds = seconds_since(start);
}

void PromptStore::push(const Session& session, std::span<const int32_t> prompt,
                       const Progress& progress) {
  State& s = *state_;
  const Clock::time_point start = Clock::now();
  try {
    s.push(session, prompt, progress);
  } catch (const Error& e) {
    if (std::string_view(e.what()) == "interrupted") throw;
    s.say(e.what());
  }
  s.use.push_seconds = seconds_since(start);
}

void PromptStore::took(uint64_t tokens, double seconds) { state_->took(tokens, seconds); }
const StoreUse& PromptStore::use() const { return state_->use; }
std::string PromptStore::name() const { return state_->store->name(); }

}  // namespace pith::model
