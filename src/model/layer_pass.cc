#include "layer_pass.h"

#include <algorithm>
#include <cmath>

#include "decoder_kernels.h"
#include "linear.h"
#include "pith/base/error.h"
#include "pith/kv/attention.h"

namespace pith::model {
namespace {

using form::Matrix;
using form::MatrixView;

// Rows of queries that a thread takes at a time.
constexpr uint64_t kAttendRows = 32;

}  // namespace

LayerPass::LayerPass(const DecoderConfig& config, uint64_t length, int threads)
    : config_(config), rope_(config, length), threads_(threads) {}

void LayerPass::place(PassRows rows) {
  rows_ = rows;
  cosines_.resize(rows.count * rope_.pairs());
  sines_.resize(cosines_.size());
  rope_.angles(rows.first - rows.shift, rows.count, cosines_.data(), sines_.data());
}

void LayerPass::norm(const float* x, uint64_t count, const std::vector<float>& weight) {
  const uint64_t width = config_.width;
  reshape(h_, count, width);
  for_rows(count, width * 2, threads_, [&](uint64_t r) {
    rms_norm(x + r * width, weight.data(), width, config_.norm_eps, h_.row(r).data());
  });
}

std::vector<LayerPass::TextRows> LayerPass::texts_of(TileRows tile) const {
  std::vector<TextRows> texts;
  for (uint64_t row = tile.first; row < tile.end();) {
    const uint64_t at = row % rows_.count, count = std::min(rows_.count - at, tile.end() - row);
    texts.push_back({row / rows_.count, row - tile.first, rows_.first + at, count});
    row += count;
  }
  return texts;
}

void LayerPass::rotate_heads(Matrix& heads, uint64_t first, uint64_t count,
                             const std::vector<float>& weight, float scale) {
  const uint64_t size = config_.head_size, pairs = rope_.pairs();
  for_rows(heads.shape.rows, heads.shape.cols * 2, threads_, [&](uint64_t r) {
    float* row = heads.row(r).data();
    if (!weight.empty()) {
      for (uint64_t i = 0; i < count; ++i) {
        float* head = row + i * size;
        rms_norm(head, weight.data(), size, config_.norm_eps, head);
      }
    }
    const uint64_t at = (first + r) % rows_.count * pairs;
    rotate(
        {config_.rope_layout, count, size, pairs, cosines_.data() + at, sines_.data() + at, scale},
        row);
  });
}

void LayerPass::keep(uint64_t heads, TileRows tile, kv::Cache& cache, uint64_t slot) {
  const uint64_t size = config_.head_size;
  const std::vector<TextRows> texts = texts_of(tile);
  for_rows(texts.size() * heads, tile.count * size * 4, threads_, [&](uint64_t task) {
    const TextRows& rows = texts[task / heads];
    const uint64_t head = task % heads, kept = rows.text * heads + head;
    for (uint64_t r = 0; r < rows.count; ++r) {
      cache.write(slot, kept, rows.position + r, k_.row(rows.row + r).data() + head * size,
                  v_.row(rows.row + r).data() + head * size);
    }
  });
}

kv::SharedHead LayerPass::shared_head(const TextRows& rows, uint64_t head, uint32_t index,
                                      TileRows tile, const kv::Cache& cache, uint64_t slot) {
  const LayerSizes sizes = config_.sizes(index);
  const uint64_t size = config_.head_size, group = sizes.heads / sizes.kv_heads;
  const uint64_t kept = rows.text * sizes.kv_heads + head;
  const uint64_t at = rows.row * q_.shape.cols + head * group * size;
  const uint64_t own_at = (tile.first + rows.row) * sizes.heads + head * group;
  return {.queries = q_.values.data() + at,
          .out = attended_.values.data() + at,
          .stride = q_.shape.cols,
          .group = group,
          .head_size = size,
          .first = rows.position,
          .window = config_.window(index),
          .keys = cache.keys(slot, kept),
          .values = cache.values(slot, kept),
          .base = cache.base(),
          .past = cache.past(slot, kept),
          .past_read = cache.past_read(rows_.first + rows_.count),
          .padded_size = cache.padded_size(),
          .contexts = cache.contexts(),
          .own = asks_importance(index) ? own_.values.data() + own_at : nullptr,
          .own_stride = sizes.heads};
}

void LayerPass::record_weights(uint32_t index, TileRows tile, kv::Cache& cache, uint64_t slot) {
  const uint64_t heads = config_.sizes(index).kv_heads, end = rows_.first + rows_.count;
  for (const TextRows& rows : texts_of(tile)) {
    for_rows(heads, tile.count * rows.position * config_.head_size, threads_, [&](uint64_t head) {
      thread_local std::vector<float> weights;
      kv::SharedHead shared = shared_head(rows, head, index, tile, cache, slot);
      if (cache.records_near()) shared.past = nullptr;
      for (uint64_t at = 0; at < rows.count; ++at) {
        if (!cache.records(rows.position + at, rows_.first, end)) continue;
        kv::attention_weights(shared, at, weights);
        cache.record(slot, head, weights);
      }
    });
  }
}

void LayerPass::show_queries(uint32_t index, TileRows tile, kv::Cache& cache, uint64_t slot) {
  const uint64_t heads = config_.sizes(index).kv_heads;
  const uint64_t shared = config_.sizes(index).heads / heads * config_.head_size;
  for (const TextRows& rows : texts_of(tile)) {
    for_rows(heads, rows.count * shared, threads_, [&](uint64_t head) {
      for (uint64_t at = 0; at < rows.count; ++at)
        cache.see_queries(slot, rows.text * heads + head,
                          q_.row(rows.row + at).subspan(head * shared, shared));
    });
  }
}

void LayerPass::make_heads(const DecoderLayer& layer, const float* x, TileRows tile, bool queries,
                           const InputObserver& observer) {
  norm(x + tile.first * config_.width, tile.count, layer.attention_norm);
  if (queries) {
    const std::array<const Linear*, 3> linears = {&layer.q, &layer.k, &layer.v};
    apply_linears<3>(linears, h_.view(), {&q_, &k_, &v_}, threads_, observer);
  } else {
    apply_linears<2>({&layer.k, &layer.v}, h_.view(), {&k_, &v_}, threads_, observer);
  }
}

void LayerPass::keep_heads(const DecoderLayer& layer, uint32_t index, TileRows tile,
                           kv::Cache& cache, uint64_t slot) {
  const uint64_t heads = config_.sizes(index).kv_heads;
  rotate_heads(k_, tile.first, heads, layer.k_norm, 1);
  keep(heads, tile, cache, slot);
}

void LayerPass::attend(const DecoderLayer& layer, uint32_t index, TileRows tile, kv::Cache& cache,
                       uint64_t slot) {
  const LayerSizes sizes = config_.sizes(index);
  const uint64_t size = config_.head_size, heads = sizes.kv_heads, group = sizes.heads / heads;
  // Queries carry the scale of the scores.
  rotate_heads(q_, tile.first, sizes.heads, layer.q_norm, 1 / std::sqrt(static_cast<float>(size)));
  reshape(attended_, q_.shape.rows, q_.shape.cols);
  if (asks_importance(index)) reshape(own_, rows_.total(), sizes.heads);
  std::vector<AttendTask> tasks;
  for (const TextRows& rows : texts_of(tile)) {
    for (uint64_t begin = 0; begin < rows.count * group; begin += kAttendRows) {
      tasks.push_back({rows, begin});
    }
  }
  const uint64_t cost =
      std::min(tile.count * group, kAttendRows) * (rows_.first + rows_.count) * size;
  for_rows(tasks.size() * heads, cost, threads_, [&](uint64_t task) {
    // The longest rows first: what is left at the end is short.
    const AttendTask& t = tasks[tasks.size() - 1 - task / heads];
    kv::attend(shared_head(t.rows, task % heads, index, tile, cache, slot), t.begin,
               std::min(t.begin + kAttendRows, t.rows.count * group));
  });
  if (cache.records()) record_weights(index, tile, cache, slot);
  if (cache.sees_queries()) show_queries(index, tile, cache, slot);
}

void LayerPass::add_made(float* x) {
  const uint64_t width = config_.width;
  for_rows(made_.shape.rows, width, threads_,
           [&](uint64_t r) { add(made_.row(r).data(), width, x + r * width); });
}

void LayerPass::add_output(const DecoderLayer& layer, float* x, uint64_t count,
                           const InputObserver& observer) {
  const uint64_t cols = attended_.shape.cols, before = attended_.shape.rows - count;
  const MatrixView last = {attended_.values.data() + before * cols, {count, cols}};
  apply_linears<1>({&layer.output}, last, {&made_}, threads_, observer);
  add_made(x);
}

bool LayerPass::asks_importance(uint32_t index) const {
  if (!config_.has_experts(index)) return false;
  const ExpertThresholds t = config_.thresholds(index);
  return routing_ || (t.ratio > 0 && std::isfinite(t.importance));
}

std::vector<float> LayerPass::importance(uint32_t index, const float* x, uint64_t count) const {
  std::vector<float> out;
  if (!asks_importance(index)) return out;
  out.resize(count);
  if (!config_.has_attention(index)) return out;
  const uint64_t width = config_.width, before = rows_.total() - count;
  for_rows(count, width * 2, threads_, [&](uint64_t r) {
    float size = 0, own = 0;
    for (uint64_t i = 0; i < width; ++i) size += std::abs(x[r * width + i]);
    const auto heads = own_.view().row(before + r);
    for (const float weight : heads) own += weight;
    out[r] = size * own / static_cast<float>(heads.size());
  });
  return out;
}

void LayerPass::add_feed_forward(const DecoderLayer& layer, float* x, uint64_t count,
                                 const InputObserver& observer) {
  norm(x, count, layer.feed_forward_norm);
  apply_feed_forward(*layer.feed_forward, h_.view(), made_, threads_, feed_forward_room_, observer);
  add_made(x);
}

void LayerPass::add_experts(const DecoderLayer& layer, uint32_t index, float* x, uint64_t count,
                            const InputObserver& observer) {
  norm(x, count, layer.feed_forward_norm);
  const std::vector<float> important = importance(index, x, count);
  choose_experts(*layer.experts, config_, h_.view(), {config_.thresholds(index), important},
                 threads_, expert_room_);
  if (routing_) routing_({expert_room_.choices, important});
  model::add_experts(*layer.experts, h_.view(), x, threads_, expert_room_, observer);
}

void LayerPass::run(const DecoderLayer& layer, uint32_t index, float* x, uint64_t finished,
                    kv::Cache& cache, uint64_t slot, const InputObserver& observer) {
  const uint64_t total = rows_.total(), begin = total - finished;
  const uint64_t step = observer ? total : kTileRows;
  for (uint64_t at = 0; at < total; at += step) {
    const TileRows tile{at, std::min(step, total - at)};
    const uint64_t from = std::max(begin, at), count = tile.end() - std::min(from, tile.end());
    float* last = x + from * config_.width;
    if (layer.has_attention()) {
      make_heads(layer, x, tile, count > 0, observer);
      keep_heads(layer, index, tile, cache, slot);
      if (count == 0) continue;
      attend(layer, index, tile, cache, slot);
      add_output(layer, last, count, observer);
    }
    if (layer.feed_forward && count > 0) add_feed_forward(layer, last, count, observer);
  }
  if (layer.experts && finished > 0) {
    add_experts(layer, index, x + begin * config_.width, finished, observer);
  }
}

void LayerPass::trace(const DecoderLayer& layer, uint32_t index, MatrixView x, kv::Cache& cache,
                      uint64_t slot, LayerTrace& trace) {
  reshape(trace.middle, x.shape.rows, x.shape.cols);
  std::copy_n(x.data, x.shape.size(), trace.middle.values.data());
  if (layer.has_attention()) trace_attention(layer, index, x, cache, slot, trace);
  if (!layer.has_feed_forward()) return;
  norm(trace.middle.values.data(), x.shape.rows, layer.feed_forward_norm);
  trace.importance = importance(index, trace.middle.values.data(), x.shape.rows);
  std::swap(trace.feed_forward_input, h_);
}

void LayerPass::trace_attention(const DecoderLayer& layer, uint32_t index, MatrixView x,
                                kv::Cache& cache, uint64_t slot, LayerTrace& trace) {
  make_heads(layer, x.data, all_rows(), true, {});
  std::swap(trace.attention_input, h_);
  if (!layer.q_norm.empty()) trace.plain_q = q_;
  if (!layer.k_norm.empty()) trace.plain_k = k_;
  keep_heads(layer, index, all_rows(), cache, slot);
  attend(layer, index, all_rows(), cache, slot);
  add_output(layer, trace.middle.values.data(), x.shape.rows, {});
  std::swap(trace.q, q_);
  std::swap(trace.k, k_);
  std::swap(trace.v, v_);
  std::swap(trace.attended, attended_);
}

void LayerPass::head(const std::vector<float>& norm_weight, const Linear& head, const float* x,
                     uint64_t count, Matrix& logits, const InputObserver& observer) {
  norm(x, count, norm_weight);
  apply_linears<1>({&head}, h_.view(), {&logits}, threads_, observer);
}

void embed(const form::Form& embedding, std::span<const int32_t> ids, float* x) {
  for (size_t r = 0; r < ids.size(); ++r) {
    const auto id = static_cast<uint64_t>(ids[r]);
    embedding.decode(id, id + 1, x + r * embedding.shape().cols);
  }
}

void check_ids(std::span<const int32_t> ids, uint32_t vocabulary) {
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= vocabulary) {
      fail(ErrorKind::kUsage, "token {} is outside the vocabulary of {}", id, vocabulary);
    }
  }
}

}  // namespace pith::model
