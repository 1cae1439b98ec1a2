// The backward pass of a decoder layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "expert_mix.h"
#include "layer_pass.h"
#include "pith/kv/cache.h"
#include "pith/model/gradient.h"

namespace pith::model {

// The backward pass of linear layers, which decodes their weights part by part.
class LinearGradient {
 public:
  explicit LinearGradient(int threads) : threads_(threads) {}

  // dx = or += dy W, after the observer has seen x and dy.
  void run(const Linear& linear, form::MatrixView x, form::MatrixView dy, form::Matrix& dx,
           bool adds, const GradientObserver& observer);
  // The same without anyone to see it.
  void run(const form::Form& weight, form::MatrixView dy, form::Matrix& dx, bool adds);

  static uint64_t bytes() { return kMostWeights * sizeof(float); }

 private:
  static constexpr uint64_t kMostWeights = uint64_t{1} << 24;  // decoded at a time
  int threads_;
  std::vector<float> weights_;
};

// Of down(silu(gate(x)) * up(x)).
class FeedForwardGradient {
 public:
  explicit FeedForwardGradient(int threads) : threads_(threads), linear_(threads) {}

  // What it gives for x; null where nobody asks.
  void forward(const FeedForward& ff, form::MatrixView x, form::Matrix* y);
  // After forward() for the same: dx = the gradient at x.
  void backward(const FeedForward& ff, form::MatrixView x, form::MatrixView dy, form::Matrix& dx,
                const GradientObserver& observer);

 private:
  int threads_;
  LinearGradient linear_;
  FeedForwardRoom room_;
  form::Matrix mixed_, d_mixed_;
};

// Of the experts, their mixture and the router.
class ExpertGradient {
 public:
  ExpertGradient(const DecoderConfig& config, int threads)
      : config_(config), threads_(threads), linear_(threads), feed_forward_(threads) {}

  // dx = the gradient at x.
  void run(const Experts& experts, form::MatrixView x, form::MatrixView dy, const LeftOut& left_out,
           form::Matrix& dx, const GradientObserver& observer);

 private:
  void run_expert(const FeedForward& expert, std::span<const ExpertChoice> choices,
                  form::MatrixView x, form::MatrixView dy, form::Matrix& dx, float* d_weights,
                  const GradientObserver& observer);
  void run_router(const Experts& experts, form::Matrix& dx);
  void run_shared(const Experts& experts, form::MatrixView x, form::MatrixView dy, form::Matrix& dx,
                  const GradientObserver& observer);

  const DecoderConfig& config_;
  int threads_;
  LinearGradient linear_;
  FeedForwardGradient feed_forward_;
  ExpertRoom room_;
  form::Matrix gathered_, given_, d_given_, d_gathered_, d_router_;
  std::vector<float> d_weights_;  // of the choices
};

class LayerGradient {
 public:
  // `config` is kept by who calls.
  LayerGradient(const DecoderConfig& config, int threads)
      : config_(config),
        threads_(threads),
        linear_(threads),
        feed_forward_(threads),
        experts_(config, threads) {}

  // stream: the layer's inputs, for whole texts as the pass was placed; gradient: at its outputs,
  // becomes that at its inputs.
  void run(const DecoderLayer& layer, uint32_t index, form::MatrixView stream, LayerPass& pass,
           kv::Cache& cache, form::Matrix& gradient, const GradientObserver& observer);

 private:
  // gradient: at the part's outputs, becomes that at its inputs.
  void run_feed_forward(const DecoderLayer& layer, uint32_t index, form::Matrix& gradient,
                        const GradientObserver& observer);
  void run_attention(const DecoderLayer& layer, uint32_t index, form::MatrixView stream,
                     const LayerPass& pass, form::Matrix& gradient,
                     const GradientObserver& observer);
  // gradient += that at x, where d_normed_ is that at the norm of x.
  void add_norm(form::MatrixView x, const std::vector<float>& weight, form::Matrix& gradient);
  void attention(uint32_t index, const PassRows& rows);
  void turn_back(form::Matrix& heads, uint64_t count, const std::vector<float>& weight,
                 const form::Matrix& plain, float scale, const LayerPass& pass);

  const DecoderConfig& config_;
  int threads_;
  LinearGradient linear_;
  FeedForwardGradient feed_forward_;
  ExpertGradient experts_;
  LayerTrace trace_;
  form::Matrix d_normed_, d_attended_, d_q_, d_k_, d_v_;
  std::vector<float> back_sines_;
};

}  // namespace pith::model
