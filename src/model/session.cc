#include "pith/model/session.h"

#include <algorithm>
#include <cmath>

#include "decoder_kernels.h"
#include "kept_heads.h"
#include "layer_pass.h"
#include "linear.h"
#include "memory_needs.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/kv/cache.h"
#include "pith/model/axes_profile.h"

namespace pith::model {

using form::Matrix;
using form::MatrixView;

namespace {

// Positions that go through the layers together: enough for the matrices to be read seldom, few
// enough for their vectors to stay small.
constexpr uint64_t kChunk = 512;
// Of which a question takes at most so many.
constexpr uint64_t kMostAsked = kChunk / 2;

// What a session that has read nothing will take.
MemoryNeeds needs_of(const LanguageModel& model, uint64_t capacity,
                     const std::optional<kv::CacheOptions>& cache) {
  const DecoderConfig& c = model.config();
  return {.weights = model.unprepared_bytes(),
          .cache = cache_bytes(c, capacity, cache, kChunk),
          .rest = activation_bytes(c, std::min(capacity, kChunk), LayerPass::kTileRows),
          .positions = capacity};
}

// Keys that stand at another place than where they were read.
kv::Cache::Turn turn_of(const DecoderConfig& c, uint64_t capacity) {
  return [&c, rope = Rope(c, capacity)](float* key, int64_t by) {
    std::vector<float> cosines, sines;
    for (const double f : rope.frequencies()) {
      cosines.push_back(static_cast<float>(std::cos(f * static_cast<double>(by))));
      sines.push_back(static_cast<float>(std::sin(f * static_cast<double>(by))));
    }
    rotate({c.rope_layout, 1, c.head_size, rope.pairs(), cosines.data(), sines.data(), 1}, key);
  };
}

void check_cache(const DecoderConfig& c, const std::optional<kv::CacheOptions>& cache) {
  if (!cache) return;
  cache->check(kept_heads(c), c.head_size);
  if (cache->axes) {
    try {
      cache->axes->profile->check_rotation(rotation_of(c));
    } catch (const Error& e) {
      throw e.in(cache->axes->path);
    }
  }
  if (!cache->keep && cache->cut == kv::Cut::kEven) return;
  for (uint32_t l = 0; l < c.layers; ++l) {
    if (c.window(l) != 0) {
      fail(ErrorKind::kUsage,
           "layer {} sees only the last {} tokens: a cache that leaves tokens out (`keep`) or cuts "
           "spans is for layers that see all; forms alone do",
           l, c.window(l));
    }
  }
}

MemoryNeeds checked_needs(const LanguageModel& model, uint64_t capacity, uint64_t others,
                          const std::optional<kv::CacheOptions>& cache) {
  if (capacity == 0) fail(ErrorKind::kUsage, "a session has room for at least 1 position");
  check_cache(model.config(), cache);
  MemoryNeeds needs = needs_of(model, capacity, cache);
  needs.others = others;
  require(needs, memory_left(), model.where());
  return needs;
}

}  // namespace

struct Session::State {
  State(const LanguageModel& of, uint64_t positions, int requested, uint64_t others,
        std::optional<kv::CacheOptions> options)
      : model(of),
        config(model.config()),
        weights(model.weights()),
        needs(checked_needs(model, positions, others, options)),
        capacity(positions),
        prompts(options ? options->prompts : kv::Prompts::kPieces),
        cache(kept_heads(config), config.head_size, capacity, std::move(options), kChunk,
              turn_of(config, capacity)),
        threads(thread_count(requested)),
        pass(config, capacity, thread_count(requested)) {}

  // Throws ErrorKind::kLimit where so many more tokens do not fit.
  void check_room(uint64_t tokens) const;
  // Tokens leave the cache's window.
  void settle();
  // Whether they can be taken as the next positions.
  void check_arrays(const kv::Arrays& arrays) const;
  void take(const kv::Arrays& arrays);
  // One chunk through all layers; logits of its last `rows` rows go to `logits` from `first` on.
  void run(std::span<const int32_t> ids, uint64_t rows, uint64_t first);

  LanguageModel model;
  const DecoderConfig& config;
  const DecoderWeights& weights;
  MemoryNeeds needs;  // before anything was read
  uint64_t capacity;
  kv::Prompts prompts;
  kv::Cache cache;
  int threads;
  LayerPass pass;
  uint64_t position = 0;
  InputObserver observer;

  // Room for one chunk: the residual stream, and logits of part of the rows.
  Matrix x, some_logits, logits;
};

void Session::State::check_room(uint64_t tokens) const {
  if (tokens > capacity - position) {
    fail(ErrorKind::kLimit, "{} tokens after {} are more than the context of {} holds", tokens,
         position, capacity);
  }
}

void Session::State::settle() {
  try {
    cache.settle(position, threads);
  } catch (...) {
    cache.forget(0);
    position = 0;
    throw;
  }
}

void Session::State::run(std::span<const int32_t> ids, uint64_t rows, uint64_t first) {
  reshape(x, ids.size(), config.width);
  embed(*weights.embedding, ids, x.values.data());
  pass.place({.first = position, .count = ids.size(), .shift = cache.shift()});
  const auto last_rows = [&](uint64_t n) {
    return x.values.data() + (ids.size() - n) * config.width;
  };
  for (uint32_t l = 0; l < config.layers; ++l) {
    // In the last layer nothing follows from the rows whose logits nobody asks for, unless their
    // attention says which tokens stay.
    const bool some = l + 1 == config.layers && !observer && !cache.records();
    pass.run(weights.layers[l], l, x.values.data(), some ? rows : ids.size(), cache, l, observer);
  }
  position += ids.size();
  if (rows == 0) return;
  const bool whole = rows == logits.shape.rows;
  pass.head(weights.norm, weights.head, last_rows(rows), rows, whole ? logits : some_logits,
            observer);
  if (!whole) std::ranges::copy(some_logits.values, logits.row(first).data());
}

Session::Session(const LanguageModel& model, uint64_t capacity, int threads, uint64_t others,
                 std::optional<kv::CacheOptions> cache)
    : state_(std::make_unique<State>(model, capacity, threads, others, std::move(cache))) {}
Session::~Session() = default;

void Session::check(const LanguageModel& model, const kv::CacheOptions& cache) {
  check_cache(model.config(), cache);
  cache.tile_bits(model.config().head_size);
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

MatrixView Session::feed(std::span<const int32_t> ids, Logits which) {
  State& s = *state_;
  s.model.begin_to_prepare();
  s.check_room(ids.size());
  check_ids(ids, s.config.vocabulary);
  const uint64_t wanted = ids.empty() || which == Logits::kNone ? 0
                          : which == Logits::kLast              ? 1
                                                                : ids.size();
  reshape(s.logits, wanted, s.config.vocabulary);
  for (uint64_t at = 0; at < ids.size(); at += kChunk) {
    const uint64_t n = std::min<uint64_t>(kChunk, ids.size() - at);
    const bool last = at + n == ids.size();
    const uint64_t rows = which == Logits::kAll ? n : last ? wanted : 0;
    s.run(ids.subspan(at, n), rows, which == Logits::kAll ? at : 0);
    if (last || s.prompts != kv::Prompts::kWhole) s.settle();
  }
  return s.logits.view();
}

void Session::feed_asked(std::span<const int32_t> ids, std::span<const int32_t> question) {
  State& s = *state_;
  if (s.prompts != kv::Prompts::kAsked)
    fail(ErrorKind::kUsage, "a question: the cache looks at none (`prompts=asked` does)");
  if (question.empty() || question.size() > kMostAsked)
    fail(ErrorKind::kUsage, "a question of {} tokens: 1 to {}", question.size(), kMostAsked);
  check_ids(ids, s.config.vocabulary);
  check_ids(question, s.config.vocabulary);
  s.check_room(ids.size() + question.size());
  s.model.begin_to_prepare();
  const uint64_t piece = kChunk - question.size();
  for (uint64_t at = 0; at < ids.size(); at += piece) {
    s.run(ids.subspan(at, std::min<uint64_t>(piece, ids.size() - at)), 0, 0);
    const uint64_t before = s.position;
    s.cache.restart_records();
    s.run(question, 0, 0);
    rewind(before);
    s.settle();
  }
}

kv::Arrays Session::keys_values(uint64_t first, uint64_t count) const {
  const State& s = *state_;
  if (first > s.position || count > s.position - first) {
    fail(ErrorKind::kUsage, "keys and values of {} positions from {} on, of {} that were read",
         count, first, s.position);
  }
  if (s.cache.leaves_out()) {
    fail(ErrorKind::kUsage,
         "keys and values of a session whose cache leaves tokens out (`keep`) cannot be taken out");
  }
  if (s.cache.contexts().any() && first + count > s.cache.contexts().begin) {
    fail(ErrorKind::kUsage,
         "keys and values of positions from {} on, where contexts were joined, "
         "cannot be taken out",
         s.cache.contexts().begin);
  }
  return s.cache.arrays(first, count, s.threads);
}

void Session::State::check_arrays(const kv::Arrays& arrays) const {
  if (arrays.heads != kept_heads(config) || arrays.head_size != config.head_size) {
    fail(ErrorKind::kUsage, "keys and values of another model: {} layers, heads of {}",
         arrays.heads.size(), arrays.head_size);
  }
  if (arrays.first != position) {
    fail(ErrorKind::kUsage, "keys and values from position {} on, where {} is next", arrays.first,
         position);
  }
  if (arrays.tokens > capacity - position) {
    fail(ErrorKind::kLimit, "keys and values of {} positions after {} are more than {}",
         arrays.tokens, position, capacity);
  }
  if (arrays.keys.size() != arrays.size() || arrays.values.size() != arrays.size()) {
    fail(ErrorKind::kUsage, "{} keys and {} values where {} belong", arrays.keys.size(),
         arrays.values.size(), arrays.size());
  }
}

void Session::State::take(const kv::Arrays& arrays) {
  for (uint64_t at = 0; at < arrays.tokens; at += kChunk) {
    const uint64_t n = std::min(kChunk, arrays.tokens - at);
    cache.write(arrays, at, n, threads);
    position += n;
    settle();
  }
}

void Session::adopt(const kv::Arrays& arrays) {
  state_->check_arrays(arrays);
  state_->take(arrays);
}

void Session::join(std::span<const kv::Arrays> contexts, const ContextOptions& options) {
  State& s = *state_;
  for (const double v : {options.temperature, options.scale}) {
    if (!std::isfinite(v) || v <= 0)
      fail(ErrorKind::kUsage, "contexts: a temperature or scale of {}, not above 0", v);
  }
  if (s.cache.contexts().any()) fail(ErrorKind::kUsage, "contexts: there are some already");
  if (s.cache.leaves_out())
    fail(ErrorKind::kUsage, "contexts: not with a cache that leaves tokens out (`keep`)");
  for (uint32_t l = 0; l < s.config.layers; ++l) {
    if (s.config.window(l) != 0)
      fail(ErrorKind::kUsage, "contexts: layer {} sees only the last {} tokens", l,
           s.config.window(l));
  }
  uint64_t longest = 0, all = 0;
  for (const kv::Arrays& c : contexts) {
    s.check_arrays(c);
    longest = std::max(longest, c.tokens);
    all += c.tokens;  // each at most the capacity
    if (all > s.capacity - s.position) {
      fail(ErrorKind::kLimit, "contexts of {} tokens and more after {} are more than {}", all,
           s.position, s.capacity);
    }
  }
  const kv::Contexts joined{s.position, s.position + all, static_cast<float>(options.scale)};
  for (kv::Arrays c : contexts) {
    // Scores are products with keys.
    const auto by = static_cast<float>(1 / options.temperature);
    for (float& k : c.keys) k *= by;
    c.first = s.position;
    s.take(c);
  }
  s.cache.join(joined, all - longest);
}

void Session::observe(InputObserver observer) { state_->observer = std::move(observer); }
void Session::observe_routing(RoutingObserver observer) {
  state_->pass.observe_routing(std::move(observer));
}

bool Session::joined() const { return state_->cache.contexts().any(); }
uint64_t Session::position() const { return state_->position; }
uint64_t Session::capacity() const { return state_->capacity; }

void Session::rewind(uint64_t position) {
  if (position > state_->position) {
    fail(ErrorKind::kUsage, "position {} is past {}, to where the text was read", position,
         state_->position);
  }
  if (position != rewindable(position)) {
    fail(ErrorKind::kUsage,
         "position {}: those before {} lie in forms or side by side and cannot be told apart",
         position, std::max(state_->cache.base(), state_->cache.contexts().end));
  }
  state_->cache.forget(position);
  state_->position = position;
}

uint64_t Session::rewindable(uint64_t position) const {
  const kv::Contexts& contexts = state_->cache.contexts();
  if (position < contexts.end) position = std::min(position, contexts.begin);
  return position < state_->cache.base() ? 0 : position;
}

const LanguageModel& Session::model() const { return state_->model; }
uint64_t Session::cache_bytes() const {
  return state_->cache.bytes() + state_->cache.past_bits() / 8;
}

uint64_t Session::held_bits() const { return state_->cache.held_bits(state_->position); }
uint64_t Session::read_numbers() const {
  uint64_t heads = 0;
  for (const uint64_t h : kept_heads(state_->config)) heads += h;
  return 2 * heads * state_->config.head_size * state_->position;
}

std::span<const select::AttentionRecord> Session::attention() const {
  return state_->cache.attention();
}
std::vector<double> Session::attention_variances() const { return state_->cache.variances(); }

uint64_t Session::needed_bytes() const {
  const MemoryNeeds& needs = state_->needs;
  return state_->model.unprepared_bytes() + needs.cache + needs.rest;
}

}  // namespace pith::model
