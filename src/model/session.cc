#include "pith/model/session.h"

#include <algorithm>
#include <cmath>

#include "attention.h"
#include "decoder_kernels.h"
#include "expert_mix.h"
#include "kv_cache.h"
#include "linear.h"
#include "memory_needs.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "rope.h"

namespace pith::model {

using form::Matrix;
using form::MatrixView;

namespace {

// Positions that go through the layers together: enough for the matrices to be read seldom, few
// enough for their vectors to stay small.
constexpr uint64_t kChunk = 512;
// Rows of queries that a thread takes at a time.
constexpr uint64_t kAttendRows = 32;

// What a session that has read nothing will take.
MemoryNeeds needs_of(const LanguageModel& model, uint64_t capacity) {
  const DecoderConfig& c = model.config();
  return {.weights = model.unprepared_bytes(),
          .cache = cache_bytes(c, capacity),
          .rest = activation_bytes(c, std::min(capacity, kChunk)),
          .positions = capacity};
}

uint64_t checked_capacity(const LanguageModel& model, uint64_t capacity, uint64_t others) {
  if (capacity == 0) fail(ErrorKind::kUsage, "a session has room for at least 1 position");
  MemoryNeeds needs = needs_of(model, capacity);
  needs.others = others;
  require(needs, memory_left(), model.where());
  return capacity;
}

MatrixView last_rows(const Matrix& m, uint64_t rows) {
  return {m.values.data() + (m.shape.rows - rows) * m.shape.cols, {rows, m.shape.cols}};
}

}  // namespace

struct Session::State {
  State(const LanguageModel& of, uint64_t positions, int requested, uint64_t others)
      : model(of),
        config(model.config()),
        weights(model.weights()),
        capacity(checked_capacity(model, positions, others)),
        threads(thread_count(requested)),
        cache(config.layers, config.kv_heads, config.head_size, capacity),
        rope(config, capacity) {}

  // One chunk through all layers; logits of its last `rows` rows go to `logits` from `first` on.
  void run(std::span<const int32_t> ids, uint64_t rows, uint64_t first);

  void embed(std::span<const int32_t> ids);
  void norm(MatrixView from, const std::vector<float>& weight);
  void attend_layer(uint32_t layer);
  void rotate_heads(Matrix& heads, uint64_t count, const std::vector<float>& norm_weight,
                    float scale);
  void keep(uint32_t layer);
  void attend_all(uint32_t layer);
  void feed_forward(const DecoderLayer& layer);
  void add_to_stream(const Matrix& made);
  void cut_to_last(uint64_t rows);

  LanguageModel model;
  const DecoderConfig& config;
  const DecoderWeights& weights;
  uint64_t capacity;
  int threads;
  KvCache cache;
  Rope rope;
  uint64_t position = 0;
  InputObserver observer;

  // Room for one chunk, used again in every layer: the residual stream, its norm, and what comes
  // of them.
  Matrix x, h, q, k, v, attended, made, logits;
  std::vector<float> cosines, sines;
  FeedForwardRoom feed_forward_room;
  ExpertRoom expert_room;
};

void Session::State::embed(std::span<const int32_t> ids) {
  reshape(x, ids.size(), config.width);
  for (uint64_t r = 0; r < ids.size(); ++r) {
    const auto id = static_cast<uint64_t>(ids[r]);
    weights.embedding->decode(id, id + 1, x.row(r).data());
  }
}

void Session::State::norm(MatrixView from, const std::vector<float>& weight) {
  reshape(h, from.shape.rows, config.width);
  for_rows(from.shape.rows, config.width * 2, threads, [&](uint64_t r) {
    rms_norm(from.row(r).data(), weight.data(), config.width, config.norm_eps, h.row(r).data());
  });
}

void Session::State::rotate_heads(Matrix& heads, uint64_t count,
                                  const std::vector<float>& norm_weight, float scale) {
  const uint64_t size = config.head_size, pairs = rope.pairs();
  for_rows(heads.shape.rows, heads.shape.cols * 2, threads, [&](uint64_t r) {
    float* row = heads.row(r).data();
    if (!norm_weight.empty()) {
      for (uint64_t i = 0; i < count; ++i) {
        float* head = row + i * size;
        rms_norm(head, norm_weight.data(), size, config.norm_eps, head);
      }
    }
    rotate({config.rope_layout, count, size, pairs, cosines.data() + r * pairs,
            sines.data() + r * pairs, scale},
           row);
  });
}

void Session::State::keep(uint32_t layer) {
  const uint64_t size = config.head_size, rows = k.shape.rows;
  for_rows(config.kv_heads, rows * size * 4, threads, [&](uint64_t head) {
    for (uint64_t r = 0; r < rows; ++r) {
      cache.write(layer, head, position + r, k.row(r).data() + head * size,
                  v.row(r).data() + head * size);
    }
  });
}

void Session::State::attend_all(uint32_t layer) {
  const uint64_t size = config.head_size, group = config.heads / config.kv_heads;
  const uint64_t rows = q.shape.rows * group, tasks = (rows + kAttendRows - 1) / kAttendRows;
  reshape(attended, q.shape.rows, q.shape.cols);
  const uint64_t cost = std::min(rows, kAttendRows) * (position + q.shape.rows) * size;
  for_rows(tasks * config.kv_heads, cost, threads, [&](uint64_t task) {
    // The longest rows first: what is left at the end is short.
    const uint64_t head = task % config.kv_heads, part = tasks - 1 - task / config.kv_heads;
    const SharedHead shared{.queries = q.values.data() + head * group * size,
                            .out = attended.values.data() + head * group * size,
                            .stride = q.shape.cols,
                            .group = group,
                            .head_size = size,
                            .first = position,
                            .window = config.window(layer),
                            .keys = cache.keys(layer, head),
                            .values = cache.values(layer, head),
                            .padded_size = cache.padded_size()};
    attend(shared, part * kAttendRows, std::min((part + 1) * kAttendRows, rows));
  });
}

void Session::State::add_to_stream(const Matrix& more) {
  for_rows(x.shape.rows, config.width, threads,
           [&](uint64_t r) { add(more.view().row(r).data(), config.width, x.row(r).data()); });
}

void Session::State::attend_layer(uint32_t index) {
  const DecoderLayer& layer = weights.layers[index];
  norm(x.view(), layer.attention_norm);
  const std::array<const Linear*, 3> linears = {&layer.q, &layer.k, &layer.v};
  const std::array<Matrix*, 3> into = {&q, &k, &v};
  apply_linears<3>(linears, h.view(), into, threads, observer);
  // Queries carry the scale of the scores.
  rotate_heads(q, config.heads, layer.q_norm, 1 / std::sqrt(static_cast<float>(config.head_size)));
  rotate_heads(k, config.kv_heads, layer.k_norm, 1);
  keep(index);
  attend_all(index);
}

void Session::State::feed_forward(const DecoderLayer& layer) {
  norm(x.view(), layer.feed_forward_norm);
  if (layer.experts) {
    add_experts(*layer.experts, config, h.view(), x, threads, expert_room, observer);
    return;
  }
  apply_feed_forward(*layer.feed_forward, h.view(), made, threads, feed_forward_room, observer);
  add_to_stream(made);
}

// In the last layer nothing follows from the rows whose logits nobody asks for.
void Session::State::cut_to_last(uint64_t rows) {
  for (Matrix* m : {&x, &attended}) {
    const uint64_t drop = (m->shape.rows - rows) * m->shape.cols;
    if (drop == 0) continue;
    m->values.erase(m->values.begin(), m->values.begin() + static_cast<int64_t>(drop));
    m->shape.rows = rows;
  }
}

void Session::State::run(std::span<const int32_t> ids, uint64_t rows, uint64_t first) {
  embed(ids);
  cosines.resize(ids.size() * rope.pairs());
  sines.resize(cosines.size());
  rope.angles(position, ids.size(), cosines.data(), sines.data());
  for (uint32_t l = 0; l < config.layers; ++l) {
    attend_layer(l);
    if (l + 1 == config.layers && !observer) cut_to_last(rows);
    if (x.shape.rows == 0) break;
    apply_linears<1>({&weights.layers[l].output}, attended.view(), {&made}, threads, observer);
    add_to_stream(made);
    feed_forward(weights.layers[l]);
  }
  position += ids.size();
  if (rows == 0) return;
  norm(last_rows(x, rows), weights.norm);
  const bool whole = rows == logits.shape.rows;
  apply_linears<1>({&weights.head}, h.view(), {whole ? &logits : &made}, threads, observer);
  if (!whole) std::ranges::copy(made.values, logits.row(first).data());
}

Session::Session(const LanguageModel& model, uint64_t capacity, int threads, uint64_t others)
    : state_(std::make_unique<State>(model, capacity, threads, others)) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

MatrixView Session::feed(std::span<const int32_t> ids, Logits which) {
  State& s = *state_;
  s.model.begin_to_prepare();
  if (ids.size() > s.capacity - s.position) {
    fail(ErrorKind::kLimit, "{} tokens after {} are more than the context of {} holds", ids.size(),
         s.position, s.capacity);
  }
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= s.config.vocabulary) {
      fail(ErrorKind::kUsage, "token {} is outside the vocabulary of {}", id, s.config.vocabulary);
    }
  }
  const uint64_t wanted = ids.empty() || which == Logits::kNone ? 0
                          : which == Logits::kLast              ? 1
                                                                : ids.size();
  reshape(s.logits, wanted, s.config.vocabulary);
  for (uint64_t at = 0; at < ids.size(); at += kChunk) {
    const uint64_t n = std::min<uint64_t>(kChunk, ids.size() - at);
    const bool last = at + n == ids.size();
    const uint64_t rows = which == Logits::kAll ? n : last ? wanted : 0;
    s.run(ids.subspan(at, n), rows, which == Logits::kAll ? at : 0);
  }
  return s.logits.view();
}

void Session::observe(InputObserver observer) { state_->observer = std::move(observer); }

uint64_t Session::position() const { return state_->position; }
uint64_t Session::capacity() const { return state_->capacity; }

void Session::rewind(uint64_t position) {
  if (position > state_->position) {
    fail(ErrorKind::kUsage, "position {} is past {}, to where the text was read", position,
         state_->position);
  }
  state_->position = position;
}

const LanguageModel& Session::model() const { return state_->model; }
uint64_t Session::cache_bytes() const { return state_->cache.bytes(); }

uint64_t Session::needed_bytes() const {
  const MemoryNeeds needs = needs_of(state_->model, state_->capacity);
  return needs.weights + needs.cache + needs.rest;
}

}  // namespace pith::model
