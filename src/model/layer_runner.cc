#include "pith/model/layer_runner.h"

#include <algorithm>
#include <cmath>

#include "layer_pass.h"
#include "memory_needs.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/kv/cache.h"

namespace pith::model {
namespace {

using form::Matrix;
using form::MatrixView;

// Texts that go through a layer together.
uint64_t group_of(uint64_t tokens) {
  return std::max<uint64_t>(1, LayerRunner::kMostRows / tokens);
}

MemoryNeeds needs_of(const DecoderConfig& c, uint64_t tokens) {
  DecoderConfig one = c;
  one.layers = 1;
  one.layer_sizes.clear();
  const uint64_t group = group_of(tokens), cache = cache_bytes(one, tokens);
  // Observers see all rows together.
  const uint64_t rows = std::min(group * tokens, LayerRunner::kMostRows);
  return {.cache = cache > UINT64_MAX / group ? UINT64_MAX : cache * group,
          .rest = activation_bytes(c, rows, rows),
          .positions = tokens};
}

uint64_t checked_tokens(const DecoderConfig& config, uint64_t tokens) {
  if (tokens == 0) fail(ErrorKind::kUsage, "texts have at least 1 token");
  require(needs_of(config, tokens), memory_left(), "calibration");
  return tokens;
}

void check_layer(const DecoderConfig& config, uint32_t index) {
  if (index < config.layers) return;
  fail(ErrorKind::kUsage, "there is no layer {} of {}", index, config.layers);
}

// Of one head; queries are scaled, and both are rotated. `window`: how far it sees, 0: all the way.
HeadAttention attention_of(MatrixView queries, MatrixView keys, uint64_t query, uint64_t key,
                           uint64_t size, uint64_t window) {
  HeadAttention sum;
  std::vector<double> weights;
  const uint64_t tokens = queries.shape.rows;
  for (uint64_t t = 0; t < tokens; ++t) {
    const uint64_t begin = window > 0 && t + 1 > window ? t + 1 - window : 0;
    const float* q = queries.row(t).data() + query;
    weights.clear();
    double most = -INFINITY, all = 0;
    for (uint64_t s = begin; s <= t; ++s) {
      const float* k = keys.row(s).data() + key;
      float score = 0;
      for (uint64_t i = 0; i < size; ++i) score += q[i] * k[i];
      most = std::max(most, double{weights.emplace_back(score)});
    }
    for (double& w : weights) all += w = std::exp(w - most);
    for (uint64_t s = begin; s <= t; ++s) {
      const double p = weights[s - begin] / all;
      if (p > 0) sum.entropy -= p * std::log2(p);
      if (s == 0) sum.first += p;
      if (t - s < HeadAttention::kRecent) sum.recent += p;
      sum.distance += p * static_cast<double>(t - s);
    }
  }
  for (double* v : {&sum.entropy, &sum.first, &sum.recent, &sum.distance}) {
    *v /= static_cast<double>(tokens);
  }
  return sum;
}

}  // namespace

struct LayerRunner::State {
  State(const DecoderConfig& of, uint64_t length, int requested)
      : config(of),
        tokens(checked_tokens(config, length)),
        cache({group_of(tokens) * config.kv_heads}, config.head_size, tokens),
        threads(thread_count(requested)),
        pass(config, tokens, threads) {}

  DecoderConfig config;
  uint64_t tokens;
  kv::Cache cache;
  int threads;
  LayerPass pass;
};

LayerRunner::LayerRunner(const DecoderConfig& config, uint64_t tokens, int threads)
    : state_(std::make_unique<State>(config, tokens, threads)) {}
LayerRunner::~LayerRunner() = default;
LayerRunner::LayerRunner(LayerRunner&&) noexcept = default;
LayerRunner& LayerRunner::operator=(LayerRunner&&) noexcept = default;

void LayerRunner::run(const DecoderLayer& layer, uint32_t index, Matrix& stream,
                      const InputObserver& observer) {
  State& s = *state_;
  if (stream.shape.cols != s.config.width || stream.shape.rows % s.tokens != 0) {
    fail(ErrorKind::kUsage, "a residual stream of {} x {} has no whole texts of {} x {}",
         stream.shape.rows, stream.shape.cols, s.tokens, s.config.width);
  }
  check_layer(s.config, index);
  const uint64_t texts = stream.shape.rows / s.tokens, group = group_of(s.tokens);
  for (uint64_t text = 0; text < texts; text += group) {
    // Texts that are longer than this go through one by one, in parts.
    for (uint64_t at = 0; at < s.tokens; at += kMostRows) {
      const PassRows rows{.texts = std::min(group, texts - text),
                          .first = at,
                          .count = std::min(kMostRows, s.tokens - at)};
      float* x = stream.row(text * s.tokens + at).data();
      s.pass.place(rows);
      s.pass.run(layer, index, x, rows.total(), s.cache, 0, observer);
    }
  }
}

void LayerRunner::observe_routing(RoutingObserver observer) {
  state_->pass.observe_routing(std::move(observer));
}

std::vector<HeadAttention> LayerRunner::attention(const DecoderLayer& layer, uint32_t index,
                                                  MatrixView text) {
  State& s = *state_;
  check_layer(s.config, index);
  if (text.shape != form::Shape{s.tokens, s.config.width}) {
    fail(ErrorKind::kUsage, "a residual stream of {} x {} is no text of {} x {}", text.shape.rows,
         text.shape.cols, s.tokens, s.config.width);
  }
  if (!layer.has_attention()) return {};
  LayerTrace trace;
  s.pass.place({.texts = 1, .first = 0, .count = s.tokens});
  s.pass.trace(layer, index, text, s.cache, 0, trace);
  const LayerSizes sizes = s.config.sizes(index);
  std::vector<HeadAttention> out(sizes.heads);
  const uint64_t size = s.config.head_size, group = sizes.heads / sizes.kv_heads;
  parallel_for(s.threads, out.size(), [&](size_t h) {
    out[h] = attention_of(trace.q.view(), trace.k.view(), h * size, h / group * size, size,
                          s.config.window(index));
  });
  return out;
}

namespace {

void check_width(const DecoderConfig& config, MatrixView rows) {
  if (rows.shape.cols == config.width) return;
  fail(ErrorKind::kUsage, "a residual stream {} wide, where the model is {}", rows.shape.cols,
       config.width);
}

}  // namespace

MatrixView LayerRunner::norm(const std::vector<float>& norm, MatrixView rows) {
  check_width(state_->config, rows);
  state_->pass.norm(rows.data, rows.shape.rows, norm);
  return state_->pass.normed();
}

void LayerRunner::head(const std::vector<float>& norm, const Linear& head, MatrixView rows,
                       Matrix& logits, const InputObserver& observer) {
  check_width(state_->config, rows);
  state_->pass.head(norm, head, rows.data, rows.shape.rows, logits, observer);
}

uint64_t LayerRunner::needed_bytes() const {
  const MemoryNeeds needs = needs_of(state_->config, state_->tokens);
  return needs.cache + needs.rest;
}

Matrix embed(const form::Form& embedding, std::span<const int32_t> ids) {
  check_ids(ids, static_cast<uint32_t>(embedding.shape().rows));
  Matrix stream(form::Shape{ids.size(), embedding.shape().cols});
  embed(embedding, ids, stream.values.data());
  return stream;
}

}  // namespace pith::model
