#include "layer_gradient.h"

#include <algorithm>
#include <cmath>

#include "attention_gradient.h"
#include "decoder_kernels.h"
#include "gradient_kernels.h"
#include "linear.h"
#include "pith/math/matrix_product.h"

namespace pith::model {

using form::Matrix;
using form::MatrixView;
using math::ProductInto;

void LinearGradient::run(const Linear& linear, MatrixView x, MatrixView dy, Matrix& dx, bool adds,
                         const GradientObserver& observer) {
  if (observer.linear) observer.linear(linear.name, x, dy);
  run(*linear.weight, dy, dx, adds);
}

void LinearGradient::run(const form::Form& weight, MatrixView dy, Matrix& dx, bool adds) {
  const auto [rows, cols] = weight.shape();
  reshape(dx, dy.shape.rows, cols);
  // Parts of whole sums of products, so that the results are those of one product.
  const uint64_t steps = math::kProductSteps;
  const uint64_t most = std::max<uint64_t>(1, kMostWeights / steps / cols) * steps;
  for (uint64_t first = 0; first < rows; first += most) {
    const uint64_t n = std::min(most, rows - first);
    if (weights_.size() < n * cols) weights_.resize(n * cols);
    constexpr uint64_t kSome = 64;  // rows that a thread decodes at a time
    parallel_for(threads_, (n + kSome - 1) / kSome, [&, width = cols](size_t k) {
      const uint64_t begin = k * kSome, end = std::min(begin + kSome, n);
      weight.decode(first + begin, first + end, weights_.data() + begin * width);
    });
    math::matrix_product({dy.data + first, dy.shape.rows, n, dy.shape.cols, 1},
                         math::row_major(weights_.data(), n, cols), dx.values.data(), cols,
                         adds || first > 0 ? ProductInto::kAdd : ProductInto::kReplace, threads_);
  }
}

void FeedForwardGradient::forward(const FeedForward& ff, MatrixView x, Matrix* y) {
  apply_gate_and_up(ff, x, threads_, room_, {});
  mixed_ = room_.gate;
  for_rows(x.shape.rows, mixed_.shape.cols * 8, threads_, [&](uint64_t r) {
    silu_times(room_.up.row(r).data(), mixed_.shape.cols, mixed_.row(r).data());
  });
  if (y) apply_linears<1>({&ff.down}, mixed_.view(), {y}, threads_, {});
}

void FeedForwardGradient::backward(const FeedForward& ff, MatrixView x, MatrixView dy, Matrix& dx,
                                   const GradientObserver& observer) {
  linear_.run(ff.down, mixed_.view(), dy, d_mixed_, false, observer);
  const uint64_t inner = mixed_.shape.cols;
  for_rows(x.shape.rows, inner * 16, threads_, [&](uint64_t r) {
    silu_times_gradient(d_mixed_.row(r).data(), inner, room_.gate.row(r).data(),
                        room_.up.row(r).data());
  });
  linear_.run(ff.gate, x, room_.gate.view(), dx, false, observer);
  linear_.run(ff.up, x, room_.up.view(), dx, true, observer);
}

void LayerGradient::add_norm(MatrixView x, const std::vector<float>& weight, Matrix& gradient) {
  const uint64_t width = x.shape.cols;
  for_rows(x.shape.rows, width * 8, threads_, [&](uint64_t r) {
    float* d = d_normed_.row(r).data();
    rms_norm_gradient(x.row(r).data(), weight.data(), d, width, config_.norm_eps, d);
    add(d, width, gradient.row(r).data());
  });
}

void LayerGradient::attention(uint32_t index, const PassRows& rows) {
  const LayerSizes sizes = config_.sizes(index);
  const uint64_t size = config_.head_size, heads = sizes.kv_heads, group = sizes.heads / heads;
  reshape(d_q_, trace_.q.shape.rows, trace_.q.shape.cols);
  for (Matrix* m : {&d_k_, &d_v_}) {
    reshape(*m, trace_.k.shape.rows, trace_.k.shape.cols);
    std::ranges::fill(m->values, 0.0F);
  }
  parallel_for(threads_, rows.texts * heads, [&](size_t task) {
    const uint64_t row = task / heads * rows.count, head = task % heads;
    const uint64_t at = row * trace_.q.shape.cols + head * group * size;
    const uint64_t key = row * trace_.k.shape.cols + head * size;
    attention_gradient({.positions = rows.count,
                        .group = group,
                        .head_size = size,
                        .window = config_.window(index),
                        .queries = trace_.q.values.data() + at,
                        .out = trace_.attended.values.data() + at,
                        .d_out = d_attended_.values.data() + at,
                        .query_stride = trace_.q.shape.cols,
                        .keys = trace_.k.values.data() + key,
                        .values = trace_.v.values.data() + key,
                        .key_stride = trace_.k.shape.cols,
                        .d_queries = d_q_.values.data() + at,
                        .d_keys = d_k_.values.data() + key,
                        .d_values = d_v_.values.data() + key});
  });
}

void LayerGradient::turn_back(Matrix& heads, uint64_t count, const std::vector<float>& weight,
                              const Matrix& plain, float scale, const LayerPass& pass) {
  const uint64_t size = config_.head_size, positions = pass.rows().count;
  const uint64_t pairs = pass.cosines().size() / positions;
  for_rows(heads.shape.rows, heads.shape.cols * 8, threads_, [&](uint64_t r) {
    float* row = heads.row(r).data();
    const uint64_t at = r % positions * pairs;
    rotate({config_.rope_layout, count, size, pairs, pass.cosines().data() + at,
            back_sines_.data() + at, scale},
           row);
    if (weight.empty()) return;
    const float* x = plain.values.data() + r * heads.shape.cols;
    for (uint64_t i = 0; i < count * size; i += size) {
      rms_norm_gradient(x + i, weight.data(), row + i, size, config_.norm_eps, row + i);
    }
  });
}

void LayerGradient::run(const DecoderLayer& layer, uint32_t index, MatrixView stream,
                        LayerPass& pass, kv::Cache& cache, Matrix& gradient,
                        const GradientObserver& observer) {
  pass.trace(layer, index, stream, cache, 0, trace_);
  if (layer.has_feed_forward()) run_feed_forward(layer, index, gradient, observer);
  if (layer.has_attention()) run_attention(layer, index, stream, pass, gradient, observer);
}

void LayerGradient::run_feed_forward(const DecoderLayer& layer, uint32_t index, Matrix& gradient,
                                     const GradientObserver& observer) {
  const MatrixView input = trace_.feed_forward_input.view();
  if (layer.experts) {
    const LeftOut left_out{config_.thresholds(index), trace_.importance};
    experts_.run(*layer.experts, input, gradient.view(), left_out, d_normed_, observer);
  } else {
    feed_forward_.forward(*layer.feed_forward, input, nullptr);
    feed_forward_.backward(*layer.feed_forward, input, gradient.view(), d_normed_, observer);
  }
  add_norm(trace_.middle.view(), layer.feed_forward_norm, gradient);
}

void LayerGradient::run_attention(const DecoderLayer& layer, uint32_t index, MatrixView stream,
                                  const LayerPass& pass, Matrix& gradient,
                                  const GradientObserver& observer) {
  const LayerSizes sizes = config_.sizes(index);
  linear_.run(layer.output, trace_.attended.view(), gradient.view(), d_attended_, false, observer);
  attention(index, pass.rows());
  // To turn back is to turn by the opposite angle, with the same magnitude.
  back_sines_.resize(pass.sines().size());
  std::ranges::transform(pass.sines(), back_sines_.begin(), std::negate<>());
  turn_back(d_q_, sizes.heads, layer.q_norm, trace_.plain_q,
            1 / std::sqrt(static_cast<float>(config_.head_size)), pass);
  turn_back(d_k_, sizes.kv_heads, layer.k_norm, trace_.plain_k, 1, pass);
  const MatrixView normed = trace_.attention_input.view();
  linear_.run(layer.q, normed, d_q_.view(), d_normed_, false, observer);
  linear_.run(layer.k, normed, d_k_.view(), d_normed_, true, observer);
  linear_.run(layer.v, normed, d_v_.view(), d_normed_, true, observer);
  add_norm(stream, layer.attention_norm, gradient);
}

}  // namespace pith::model
