#include "pith/model/prompt_store.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "chunk_fetcher.h"
#include "kept_heads.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/axes_profile.h"
#include "pith/model/model_hash.h"

namespace pith::model {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLook = std::chrono::microseconds(500), kLongLook = kLook * 100;
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
  fetched_in.resize(std::max(fetched_in.size(), other.fetched_in.size()));
  for (size_t l = 0; l < other.fetched_in.size(); ++l) fetched_in[l] += other.fetched_in[l];
  read_seconds += other.read_seconds;
  push_seconds += other.push_seconds;
  return *this;
}

struct PromptStore::State {
  State(std::unique_ptr<kv::Store> to, PromptStoreOptions o)
      : store(std::move(to)), options(std::move(o)) {
    if (options.chunk_tokens == 0) fail(ErrorKind::kUsage, "chunks of 0 tokens");
    if (options.codings.empty()) fail(ErrorKind::kUsage, "chunks in no coding");
    if (!(options.deadline > 0)) fail(ErrorKind::kUsage, "a deadline that is not above 0");
    std::set<std::string> names;
    for (const std::string& text : options.codings) {
      codings.push_back(kv::ChunkCoding::parse(text));
      if (!names.insert(codings.back().name()).second)
        fail(ErrorKind::kUsage, "the coding {} is there twice", text);
    }
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
      hash = model_hash(model, session.capacity(), options.threads);
    }
    makers.clear();
    levels.clear();
    for (kv::ChunkCoding& coding : codings) {
      coding = coding.with_rotation(rotation_of(model.config()));
      makers.push_back({hash, coding.name(), cache ? cache->name() : ""});
      levels.push_back({kv::chain(makers.back(), prompt, options.chunk_tokens), coding.profile()});
    }
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

  // False: it is none of this model's, whatever it says of itself.
  bool adopt(Session& session, const ChunkFetcher::Fetched& fetched, uint64_t chunk) {
    const uint64_t in = session.position() - fetched.arrays.first;
    try {
      session.adopt(in == 0 ? fetched.arrays : tail(fetched.arrays, in));
    } catch (const Error& e) {
      say(fmt::format("{}: {}", store->name(), e.what()));
      return false;
    }
    use.fetched += fetched.arrays.tokens - in;
    use.fetched_in[fetched.level] += fetched.arrays.tokens - in;
    use.fetched_bytes += fetched.bytes;
    read_in[chunk] = fetched.level;
    coarsest = std::max(coarsest, fetched.level);
    return true;
  }

  void meet(Session& session, std::span<const int32_t> prompt, uint64_t end,
            const Progress& progress) {
    while (session.position() < end && fetcher->more()) {
      const uint64_t at = session.position(), chunk = at / options.chunk_tokens;
      report(progress, at, prompt.size());
      if (auto fetched = fetcher->take(chunk)) {
        if (!adopt(session, *fetched, chunk)) return;
      } else if (const auto work = fetcher->compute(chunk)) {
        session.feed(prompt.subspan(at, work->tokens), Logits::kNone);
        fetcher->computed(*work);
        use.recomputed += work->tokens;
      } else {
        fetcher->wait(kLook);
      }
    }
  }

  void read(Session& session, std::span<const int32_t> prompt, Clock::time_point start,
            const Progress& progress) {
    held.reset();
    if (session.position() == 0) coarsest = 0;
    read_in.assign(levels[0].ids.size(), coarsest);
    if (levels[0].ids.empty() || !options.fetch) return;
    const uint64_t size = options.chunk_tokens, last = (prompt.size() - 1) / size;
    std::vector<uint64_t> tokens(last, size);
    for (uint64_t c = 0; c < last; ++c)
      tokens[c] -= std::min(size, std::max(c * size, session.position()) - c * size);
    fetcher = std::make_unique<ChunkFetcher>(
        *store, levels, std::move(tokens),
        kv::ControllerOptions{.deadline = std::max(1e-9, options.deadline - seconds_since(start)),
                              .behind = prompt.size() - last * size,
                              .computes = options.recompute,
                              .bytes_per_second = link,
                              .tokens_per_second = 1 / token_seconds(session.model())});
    meet(session, prompt, last * size, progress);
    fetcher->give_up();
  }

  // Nothing more is fetched; it is known then what the store holds. wait: for its answer, unless it
  // is one that has not answered before.
  void settle(bool wait, const Progress& progress = {}) {
    if (!fetcher) return;
    while (wait && !said && !fetcher->finished()) {
      report(progress, 0, 0);
      fetcher->wait(kLongLook);
    }
    fetcher->stop();
    held = fetcher->held();
    link = fetcher->bytes_per_second();
    if (use.recomputed > 0) measured = 1 / fetcher->tokens_per_second();
    const std::string problem = fetcher->problem();
    fetcher.reset();
    say(problem);
  }

  void push(const Session& session, std::span<const int32_t> prompt, const Progress& progress) {
    settle(true, progress);
    if (!held && options.fetch) return;  // nobody there
    const uint64_t size = options.chunk_tokens;
    size_t finest = 0;
    for (size_t c = 0; c < read_in.size() && (c + 1) * size <= session.position(); ++c) {
      report(progress, c * size, prompt.size());
      // What was fetched, or read behind it, is no better than the coding that it came in.
      finest = std::max(finest, read_in[c]);
      push_chunk(session, prompt.subspan(c * size, size), c, finest);
    }
    store->flush();
  }

  // In the codings, from this one on, that it is not there in.
  void push_chunk(const Session& session, std::span<const int32_t> tokens, size_t c,
                  size_t finest) {
    std::optional<kv::Arrays> arrays;
    for (size_t l = finest; l < levels.size(); ++l) {
      if (held && (*held)[l][c]) continue;
      if (!arrays) arrays = session.keys_values(c * tokens.size(), tokens.size());
      const Hash128 before = c == 0 ? kv::chain_root(makers[l]) : levels[l].ids[c - 1];
      const Bytes chunk = kv::write_chunk(makers[l], codings[l], before, tokens, *arrays);
      store->put(levels[l].ids[c], chunk);
      use.pushed_bytes += chunk.size();
    }
    if (arrays) use.pushed += tokens.size();
  }

  std::unique_ptr<kv::Store> store;
  PromptStoreOptions options;
  std::vector<kv::ChunkCoding> codings;
  bool said = false;
  struct Hashed {
    LanguageModel model;
    uint64_t capacity;
  };
  std::optional<Hashed> hashed;  // what `hash` is of
  Hash128 hash;
  std::optional<double> measured;  // seconds for a token
  double link = 0;                 // bytes a second, as measured last
  size_t coarsest = 0;             // coding of what the session that was read for has fetched
  // Of the prompt that was read last, in each coding.
  std::vector<kv::ChunkMaker> makers;
  std::vector<ChunkLevel> levels;
  std::vector<size_t> read_in;  // the coding that each chunk came in; 0 of what was read
  std::optional<std::vector<std::vector<bool>>> held;  // by the store
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

void PromptStore::check_coding(const LanguageModel& model) const {
  const std::vector<uint64_t> heads = kept_heads(model.config());
  for (const kv::ChunkCoding& coding : state_->codings) {
    coding.check(heads, model.config().head_size, state_->options.chunk_tokens);
    coding.with_rotation(rotation_of(model.config()));
  }
}

void PromptStore::read(Session& session, std::span<const int32_t> prompt,
                       const std::optional<kv::CacheOptions>& cache, const Progress& progress) {
  State& s = *state_;
  check(cache);
  const Clock::time_point start = Clock::now();
  s.settle(false);
  s.use = {.fetched_in = std::vector<uint64_t>(s.codings.size())};
  s.read_in.clear();
  if (prompt.empty()) return;
  s.make_chain(session, prompt, cache);
  s.read(session, prompt, start, progress);
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
