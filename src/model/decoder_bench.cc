// What a decoder spends outside of its matrices.
#include <benchmark/benchmark.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "decoder_kernels.h"
#include "pith/kv/attention.h"
#include "pith/kv/cache.h"
#include "pith/model/session.h"

namespace pith::model {
namespace {

// A matrix that costs nothing: what is left is all the rest.
class NoForm final : public form::Form {
 public:
  using Form::Form;
  form::Expression expression() const override { return form::Expression::call("none"); }
  void decode(uint64_t first, uint64_t last, float* out) const override {
    for (uint64_t i = 0; i < (last - first) * shape().cols; ++i) out[i] = 0.5F;
  }
  void multiply(const form::Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override {
    for (uint64_t b = 0; b < x.batch(); ++b) std::fill_n(out + b * stride, last - first, 0.25F);
  }
  std::string_view kind() const override { return "none"; }
  void write_body(form::BodyWriter&) const override {}
};

LanguageModel hollow_model(const DecoderConfig& c) {
  LanguageModel::Parts parts;
  parts.config = c;
  const auto matrix = [](uint64_t rows, uint64_t cols) {
    return Linear{std::make_shared<NoForm>(form::Shape{rows, cols}), {}};
  };
  const std::vector<float> ones(c.width, 1.0F);
  parts.weights.embedding = matrix(c.vocabulary, c.width).weight;
  parts.weights.head = matrix(c.vocabulary, c.width);
  parts.weights.norm = ones;
  const uint64_t all = uint64_t{c.heads} * c.head_size, kv = uint64_t{c.kv_heads} * c.head_size;
  for (uint32_t l = 0; l < c.layers; ++l) {
    DecoderLayer layer;
    layer.attention_norm = layer.feed_forward_norm = ones;
    layer.q = matrix(all, c.width);
    layer.k = matrix(kv, c.width);
    layer.v = matrix(kv, c.width);
    layer.output = matrix(c.width, all);
    layer.feed_forward =
        FeedForward{matrix(c.feed_forward, c.width), matrix(c.feed_forward, c.width),
                    matrix(c.width, c.feed_forward)};
    parts.weights.layers.push_back(std::move(layer));
  }
  return LanguageModel(std::move(parts));
}

// 0: the reference model of 7 million weights; 1: shaped as Llama 3.2 1B.
DecoderConfig shape(int64_t which) {
  DecoderConfig c;
  const bool large = which == 1;
  c.vocabulary = large ? 128256 : 4096;
  c.layers = large ? 16 : 8;
  c.width = large ? 2048 : 256;
  c.heads = large ? 32 : 4;
  c.kv_heads = large ? 8 : 2;
  c.head_size = c.rope_size = 64;
  c.feed_forward = large ? 8192 : 768;
  c.context = 4096;
  return c;
}

void BM_TokenWithoutMatrices(benchmark::State& state) {
  const LanguageModel model = hollow_model(shape(state.range(0)));
  const auto filled = static_cast<uint64_t>(state.range(1));
  Session session(model, filled + 1);
  session.feed(std::vector<int32_t>(filled, 1), Logits::kNone);
  const int32_t id = 1;
  for (auto _ : state) {
    session.rewind(filled);
    benchmark::DoNotOptimize(session.feed({&id, 1}).data);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_TokenWithoutMatrices)->ArgsProduct({{0, 1}, {1, 256, 2048}});

void BM_PrefillWithoutMatrices(benchmark::State& state) {
  const LanguageModel model = hollow_model(shape(state.range(0)));
  const std::vector<int32_t> ids(512, 1);
  Session session(model, ids.size());
  for (auto _ : state) {
    session.rewind(0);
    benchmark::DoNotOptimize(session.feed(ids).data);
  }
  state.SetItemsProcessed(state.iterations() * 512);
}
BENCHMARK(BM_PrefillWithoutMatrices)->Arg(0)->Arg(1);

// Queries of 32 heads that share 8, at the end of a text.
void BM_Attend(benchmark::State& state) {
  const auto length = static_cast<uint64_t>(state.range(0)),
             n = static_cast<uint64_t>(state.range(1));
  const uint64_t size = 64, heads = 32, kv = 8, group = heads / kv;
  kv::Cache cache({kv}, size, length);
  std::vector<float> some(size, 0.1F), q(n * heads * size, 0.1F), out(q.size());
  for (uint64_t h = 0; h < kv; ++h) {
    for (uint64_t p = 0; p < length; ++p) cache.write(0, h, p, some.data(), some.data());
  }
  for (auto _ : state) {
    for (uint64_t h = 0; h < kv; ++h) {
      kv::attend({.queries = q.data() + h * group * size,
                  .out = out.data() + h * group * size,
                  .stride = heads * size,
                  .group = group,
                  .head_size = size,
                  .first = length - n,
                  .window = 0,
                  .keys = cache.keys(0, h),
                  .values = cache.values(0, h),
                  .padded_size = cache.padded_size()},
                 0, n * group);
    }
    benchmark::DoNotOptimize(out.data());
  }
  const auto pairs = static_cast<double>(n) * static_cast<double>(2 * length - n + 1) / 2;
  state.counters["flops"] =
      benchmark::Counter(pairs * heads * size * 4, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["cache_bytes"] =
      benchmark::Counter(static_cast<double>(length * kv * size * 2 * sizeof(float)),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Attend)->Args({512, 1})->Args({4096, 1})->Args({512, 512})->Args({4096, 512});

void BM_SiluTimes(benchmark::State& state) {
  std::vector<float> gate(8192, 0.5F), up(8192, 1.0F);
  for (auto _ : state) {
    silu_times(up.data(), up.size(), gate.data());
    benchmark::DoNotOptimize(gate.data());
  }
  state.SetItemsProcessed(state.iterations() * 8192);
}
BENCHMARK(BM_SiluTimes);

}  // namespace
}  // namespace pith::model
