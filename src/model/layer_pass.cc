#include "layer_pass.h"

#include <algorithm>
#include <cmath>

#include "attention.h"
#include "decoder_kernels.h"
#include "linear.h"
#include "pith/base/error.h"

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
  rope_.angles(rows.first, rows.count, cosines_.data(), sines_.data());
}

void LayerPass::norm(const float* x, uint64_t count, const std::vector<float>& weight) {
  const uint64_t width = config_.width;
  reshape(h_, count, width);
  for_rows(count, width * 2, threads_, [&](uint64_t r) {
    rms_norm(x + r * width, weight.data(), width, config_.norm_eps, h_.row(r).data());
  });
}

void LayerPass::rotate_heads(Matrix& heads, uint64_t count, const std::vector<float>& weight,
                             float scale) {
  const uint64_t size = config_.head_size, pairs = rope_.pairs();
  for_rows(heads.shape.rows, heads.shape.cols * 2, threads_, [&](uint64_t r) {
    float* row = heads.row(r).data();
    if (!weight.empty()) {
      for (uint64_t i = 0; i < count; ++i) {
        float* head = row + i * size;
        rms_norm(head, weight.data(), size, config_.norm_eps, head);
      }
    }
    const uint64_t at = r % rows_.count * pairs;
    rotate(
        {config_.rope_layout, count, size, pairs, cosines_.data() + at, sines_.data() + at, scale},
        row);
  });
}

void LayerPass::keep(uint64_t heads, KvCache& cache, uint64_t slot) {
  const uint64_t size = config_.head_size;
  for_rows(rows_.texts * heads, rows_.count * size * 4, threads_, [&](uint64_t kept) {
    const uint64_t row = kept / heads * rows_.count, at = kept % heads * size;
    for (uint64_t r = 0; r < rows_.count; ++r) {
      cache.write(slot, kept, rows_.first + r, k_.row(row + r).data() + at,
                  v_.row(row + r).data() + at);
    }
  });
}

void LayerPass::attend_all(uint32_t index, const KvCache& cache, uint64_t slot) {
  const LayerSizes sizes = config_.sizes(index);
  const uint64_t size = config_.head_size, heads = sizes.kv_heads, group = sizes.heads / heads;
  const uint64_t rows = rows_.count * group, tasks = (rows + kAttendRows - 1) / kAttendRows;
  reshape(attended_, q_.shape.rows, q_.shape.cols);
  const bool own = asks_importance(index);
  if (own) reshape(own_, rows_.total(), sizes.heads);
  const uint64_t cost = std::min(rows, kAttendRows) * (rows_.first + rows_.count) * size;
  for_rows(tasks * heads * rows_.texts, cost, threads_, [&](uint64_t task) {
    // The longest rows first: what is left at the end is short.
    const uint64_t kept = task % (heads * rows_.texts);
    const uint64_t part = tasks - 1 - task / (heads * rows_.texts);
    const uint64_t at = kept / heads * rows_.count * q_.shape.cols + kept % heads * group * size;
    const uint64_t own_at = kept / heads * rows_.count * sizes.heads + kept % heads * group;
    const SharedHead shared{.queries = q_.values.data() + at,
                            .out = attended_.values.data() + at,
                            .stride = q_.shape.cols,
                            .group = group,
                            .head_size = size,
                            .first = rows_.first,
                            .window = config_.window(index),
                            .keys = cache.keys(slot, kept),
                            .values = cache.values(slot, kept),
                            .padded_size = cache.padded_size(),
                            .own = own ? own_.values.data() + own_at : nullptr,
                            .own_stride = sizes.heads};
    model::attend(shared, part * kAttendRows, std::min((part + 1) * kAttendRows, rows));
  });
}

void LayerPass::make_heads(const DecoderLayer& layer, const float* x,
                           const InputObserver& observer) {
  norm(x, rows_.total(), layer.attention_norm);
  const std::array<const Linear*, 3> linears = {&layer.q, &layer.k, &layer.v};
  apply_linears<3>(linears, h_.view(), {&q_, &k_, &v_}, threads_, observer);
}

void LayerPass::attend_rotated(const DecoderLayer& layer, uint32_t index, KvCache& cache,
                               uint64_t slot) {
  const LayerSizes sizes = config_.sizes(index);
  // Queries carry the scale of the scores.
  rotate_heads(q_, sizes.heads, layer.q_norm, 1 / std::sqrt(static_cast<float>(config_.head_size)));
  rotate_heads(k_, sizes.kv_heads, layer.k_norm, 1);
  keep(sizes.kv_heads, cache, slot);
  attend_all(index, cache, slot);
}

void LayerPass::attend(const DecoderLayer& layer, uint32_t index, const float* x, KvCache& cache,
                       uint64_t slot, const InputObserver& observer) {
  if (!layer.has_attention()) return;
  make_heads(layer, x, observer);
  attend_rotated(layer, index, cache, slot);
}

void LayerPass::add_made(float* x) {
  const uint64_t width = config_.width;
  for_rows(made_.shape.rows, width, threads_,
           [&](uint64_t r) { add(made_.row(r).data(), width, x + r * width); });
}

void LayerPass::add_output(const DecoderLayer& layer, float* x, uint64_t count,
                           const InputObserver& observer) {
  const MatrixView last = {attended_.values.data() + (rows_.total() - count) * attended_.shape.cols,
                           {count, attended_.shape.cols}};
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

void LayerPass::finish(const DecoderLayer& layer, uint32_t index, float* x, uint64_t count,
                       const InputObserver& observer) {
  if (layer.has_attention()) add_output(layer, x, count, observer);
  if (!layer.has_feed_forward()) return;
  norm(x, count, layer.feed_forward_norm);
  if (layer.experts) {
    const std::vector<float> important = importance(index, x, count);
    choose_experts(*layer.experts, config_, h_.view(), {config_.thresholds(index), important},
                   threads_, expert_room_);
    if (routing_) routing_({expert_room_.choices, important});
    add_experts(*layer.experts, h_.view(), x, threads_, expert_room_, observer);
    return;
  }
  apply_feed_forward(*layer.feed_forward, h_.view(), made_, threads_, feed_forward_room_, observer);
  add_made(x);
}

void LayerPass::trace(const DecoderLayer& layer, uint32_t index, MatrixView x, KvCache& cache,
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
                                KvCache& cache, uint64_t slot, LayerTrace& trace) {
  make_heads(layer, x.data, {});
  std::swap(trace.attention_input, h_);
  if (!layer.q_norm.empty()) trace.plain_q = q_;
  if (!layer.k_norm.empty()) trace.plain_k = k_;
  attend_rotated(layer, index, cache, slot);
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
