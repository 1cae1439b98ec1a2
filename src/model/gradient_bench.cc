// Layers shaped as those of Llama 3.2 1B, forward and back, over texts of 512 tokens.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "pith/base/half.h"
#include "pith/base/random.h"
#include "pith/form/tensor.h"
#include "pith/model/gradient.h"
#include "pith/model/layer_runner.h"

namespace pith::model {
namespace {

constexpr uint64_t kTokens = 512, kRows = 2048;

DecoderConfig shape(uint32_t layers, uint32_t vocabulary) {
  DecoderConfig c;
  c.vocabulary = vocabulary;
  c.layers = layers;
  c.width = 2048;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_size = c.rope_size = 64;
  c.feed_forward = 8192;
  c.context = 4096;
  return c;
}

// Weights of bf16, of variance 1 / columns.
Linear random_linear(uint64_t rows, uint64_t cols) {
  Bytes bytes;
  ByteWriter w(bytes);
  const double scale = std::sqrt(12.0 / static_cast<double>(cols));
  for (uint64_t i = 0; i < rows * cols; ++i) {
    w.u16(bf16_from_float(static_cast<float>((random_unit(rows, i) - 0.5) * scale)));
  }
  return {form::from_tensor(DType::kBF16, {rows, cols}, Buffer(std::move(bytes))), {}};
}

LanguageModel random_model(const DecoderConfig& c) {
  LanguageModel::Parts parts;
  parts.config = c;
  const std::vector<float> ones(c.width, 1.0F);
  parts.weights.head = random_linear(c.vocabulary, c.width);
  parts.weights.embedding = parts.weights.head.weight;
  parts.weights.norm = ones;
  const uint64_t all = uint64_t{c.heads} * c.head_size, kv = uint64_t{c.kv_heads} * c.head_size;
  for (uint32_t l = 0; l < c.layers; ++l) {
    DecoderLayer layer;
    layer.attention_norm = layer.feed_forward_norm = ones;
    layer.q = random_linear(all, c.width);
    layer.k = random_linear(kv, c.width);
    layer.v = random_linear(kv, c.width);
    layer.output = random_linear(c.width, all);
    layer.feed_forward =
        FeedForward{random_linear(c.feed_forward, c.width), random_linear(c.feed_forward, c.width),
                    random_linear(c.width, c.feed_forward)};
    parts.weights.layers.push_back(std::move(layer));
  }
  return LanguageModel(std::move(parts));
}

void BM_Layer(benchmark::State& state) {
  const LanguageModel model = random_model(shape(1, 1000));
  LayerRunner runner(model.config(), kTokens, static_cast<int>(state.range(0)));
  const std::vector<int32_t> ids(kRows, 1);
  form::Matrix stream = embed(*model.weights().embedding, ids);
  for (auto _ : state) runner.run(model.weights().layers[0], 0, stream);
  state.SetItemsProcessed(static_cast<int64_t>(kRows) * state.iterations());
}
BENCHMARK(BM_Layer)->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

// Layers, vocabulary, threads.
void BM_Gradient(benchmark::State& state) {
  const LanguageModel model = random_model(
      shape(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1))));
  GradientPass pass(model, kTokens, static_cast<int>(state.range(2)));
  const std::vector<int32_t> ids(kRows, 1);
  for (auto _ : state) benchmark::DoNotOptimize(pass.run(ids, {}));
  state.SetItemsProcessed(static_cast<int64_t>(kRows) * state.iterations());
}
BENCHMARK(BM_Gradient)
    ->Args({1, 1000, 1})
    ->Args({1, 1000, 2})
    ->Args({1, 32000, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pith::model
