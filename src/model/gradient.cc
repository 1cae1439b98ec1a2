#include "pith/model/gradient.h"

#include <algorithm>
#include <cmath>

#include "decoder_kernels.h"
#include "gradient_kernels.h"
#include "layer_gradient.h"
#include "layer_pass.h"
#include "linear.h"
#include "memory_needs.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/base/random.h"

namespace pith::model {
namespace {

using form::Matrix;
using form::MatrixView;

// Logits that are made at a time, and at least so many rows of them.
constexpr uint64_t kMostLogits = uint64_t{1} << 26, kLeastLogitRows = 16;

uint64_t texts_of(uint64_t tokens) {
  return std::max<uint64_t>(1, GradientPass::kMostRows / tokens);
}

uint64_t logit_rows(const DecoderConfig& c) {
  return std::max(kLeastLogitRows, kMostLogits / c.vocabulary);
}

// Gradients at what is within a layer take as much as these themselves.
MemoryNeeds needs_of(const LanguageModel& model, uint64_t tokens) {
  DecoderConfig one = model.config();
  one.layers = 1;
  one.layer_sizes.clear();
  // No model has so many: from here on products do not overflow.
  if (tokens > uint64_t{1} << 32) {
    return {.rest = UINT64_MAX, .positions = tokens};
  }
  const uint64_t texts = texts_of(tokens), rows = texts * tokens, cache = cache_bytes(one, tokens);
  const uint64_t streams = (uint64_t{model.config().layers} + 4) * rows * one.width;
  const uint64_t logits = std::min(rows, logit_rows(one)) * uint64_t{one.vocabulary};
  return {.weights = model.unprepared_bytes(),
          .cache = cache > UINT64_MAX / texts ? UINT64_MAX : cache * texts,
          .rest = 3 * activation_bytes(one, rows, rows) + (streams + logits) * sizeof(float) +
                  4 * LinearGradient::bytes(),
          .positions = tokens};
}

uint64_t checked_tokens(const LanguageModel& model, uint64_t tokens) {
  if (tokens == 0) fail(ErrorKind::kUsage, "texts have at least 1 token");
  require(needs_of(model, tokens), memory_left(), model.where());
  return tokens;
}

// The first id up to which the probabilities add up to `part` of all.
uint64_t drawn(std::span<const float> p, double part) {
  double all = 0, sum = 0;
  for (const float v : p) all += v;
  for (uint64_t i = 0; i < p.size(); ++i) {
    sum += p[i];
    if (sum > part * all) return i;
  }
  return p.size() - 1;
}

// Cross entropy; target(row, probabilities) below 0: the row has none.
template <class Target>
double cross_entropy(Matrix& logits, int threads, const Target& target) {
  std::vector<double> losses(logits.shape.rows);
  for_rows(logits.shape.rows, logits.shape.cols * 8, threads, [&](uint64_t r) {
    const auto row = logits.row(r);
    softmax(row.size(), row.data());
    const int64_t wanted = target(r, std::span<const float>(row));
    if (wanted < 0) {
      std::ranges::fill(row, 0.0F);
      return;
    }
    float& p = row[static_cast<uint64_t>(wanted)];
    // Probabilities that float32 has no number for count as its least.
    losses[r] = std::isnan(p) ? p : -std::log(std::max(p, 0x1p-126F));
    p -= 1;
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace

Loss sampled_loss(uint64_t seed, int threads) {
  return [seed, used = thread_count(threads)](const LossRows& rows, Matrix& logits) {
    return cross_entropy(logits, used, [&](uint64_t r, std::span<const float> p) {
      return static_cast<int64_t>(drawn(p, random_unit(seed, rows.first + r)));
    });
  };
}

Loss next_token_loss(int threads) {
  return [used = thread_count(threads)](const LossRows& rows, Matrix& logits) {
    return cross_entropy(logits, used,
                         [&](uint64_t r, std::span<const float>) { return rows.next[r]; });
  };
}

struct GradientPass::State {
  State(const LanguageModel& of, uint64_t length, int requested, Loss with)
      : model(of),
        config(model.config()),
        weights(model.weights()),
        tokens(checked_tokens(model, length)),
        threads(thread_count(requested)),
        loss(with ? std::move(with) : sampled_loss(1, requested)),
        cache({texts_of(tokens) * config.kv_heads}, config.head_size, tokens),
        pass(config, tokens, threads),
        layer(config, threads),
        linear(threads) {}

  double run(std::span<const int32_t> ids, const GradientObserver& observer);
  double run_head(MatrixView stream, std::span<const int32_t> ids,
                  const GradientObserver& observer);

  LanguageModel model;
  const DecoderConfig& config;
  const DecoderWeights& weights;
  uint64_t tokens;
  int threads;
  Loss loss;
  kv::Cache cache;
  LayerPass pass;
  LayerGradient layer;
  LinearGradient linear;
  uint64_t rows_done = 0;

  std::vector<Matrix> streams;  // the inputs of each layer, and the outputs of the last
  Matrix logits, d_normed, gradient;
};

// The loss of a batch, and the gradient at the stream behind the last layer.
double GradientPass::State::run_head(MatrixView stream, std::span<const int32_t> ids,
                                     const GradientObserver& observer) {
  const uint64_t rows = stream.shape.rows, width = config.width, some = logit_rows(config);
  reshape(gradient, rows, width);
  std::vector<int32_t> next(rows);
  for (uint64_t r = 0; r < rows; ++r) next[r] = (r + 1) % tokens == 0 ? -1 : ids[r + 1];
  double sum = 0;
  for (uint64_t at = 0; at < rows; at += some) {
    const uint64_t n = std::min(some, rows - at);
    const MatrixView x = {stream.data + at * width, {n, width}};
    pass.head(weights.norm, weights.head, x.data, n, logits, {});
    sum += loss({rows_done + at, std::span(next).subspan(at, n)}, logits);
    if (!std::isfinite(sum)) {
      fail(ErrorKind::kData, "{}: the loss of tokens {} to {} is {}", model.where(), rows_done + at,
           rows_done + at + n - 1, sum);
    }
    linear.run(weights.head, pass.normed(), logits.view(), d_normed, false, observer);
    for_rows(n, width * 8, threads, [&](uint64_t r) {
      rms_norm_gradient(x.row(r).data(), weights.norm.data(), d_normed.row(r).data(), width,
                        config.norm_eps, gradient.row(at + r).data());
    });
  }
  return sum;
}

double GradientPass::State::run(std::span<const int32_t> ids, const GradientObserver& observer) {
  const uint64_t rows = ids.size();
  streams.resize(config.layers + 1);
  reshape(streams[0], rows, config.width);
  embed(*weights.embedding, ids, streams[0].values.data());
  pass.place({.texts = rows / tokens, .first = 0, .count = tokens});
  for (uint32_t l = 0; l < config.layers; ++l) {
    streams[l + 1] = streams[l];
    pass.run(weights.layers[l], l, streams[l + 1].values.data(), rows, cache, 0, {});
  }
  const double sum = run_head(streams.back().view(), ids, observer);
  for (uint32_t l = config.layers; l-- > 0;) {
    layer.run(weights.layers[l], l, streams[l].view(), pass, cache, gradient, observer);
  }
  if (observer.embedding) {
    observer.embedding("model.embed_tokens.weight", ids, gradient.view());
  }
  rows_done += rows;
  return sum;
}

GradientPass::GradientPass(const LanguageModel& model, uint64_t tokens, int threads, Loss loss)
    : state_(std::make_unique<State>(model, tokens, threads, std::move(loss))) {}
GradientPass::~GradientPass() = default;
GradientPass::GradientPass(GradientPass&&) noexcept = default;
GradientPass& GradientPass::operator=(GradientPass&&) noexcept = default;

double GradientPass::run(std::span<const int32_t> ids, const GradientObserver& observer) {
  State& s = *state_;
  if (ids.size() % s.tokens != 0) {
    fail(ErrorKind::kUsage, "{} ids are no whole texts of {}", ids.size(), s.tokens);
  }
  check_ids(ids, s.config.vocabulary);
  s.model.begin_to_prepare();
  double sum = 0;
  const uint64_t most = texts_of(s.tokens) * s.tokens;
  for (uint64_t at = 0; at < ids.size(); at += most) {
    sum += s.run(ids.subspan(at, std::min<uint64_t>(most, ids.size() - at)), observer);
  }
  return sum;
}

uint64_t GradientPass::needed_bytes() const {
  const MemoryNeeds needs = needs_of(state_->model, state_->tokens);
  return needs.weights + needs.cache + needs.rest;
}

}  // namespace pith::model
