#include "pith/model/layer_runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "pith/base/error.h"
#include "pith/form/compose.h"
#include "testing_model.h"

namespace pith::model {
namespace {

using namespace testing;
using form::Matrix;
using form::MatrixView;

std::vector<int32_t> some_ids(const DecoderConfig& c, size_t n) {
  std::mt19937 random(3);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(random() % c.vocabulary);
  return ids;
}

// Every text read by a session of its own.
std::vector<float> from_sessions(const LanguageModel& model, std::span<const int32_t> ids,
                                 uint64_t tokens) {
  std::vector<float> logits;
  for (uint64_t at = 0; at < ids.size(); at += tokens) {
    Session session(model, tokens);
    const MatrixView some = session.feed(ids.subspan(at, tokens), Logits::kAll);
    logits.insert(logits.end(), some.data, some.data + some.shape.size());
  }
  return logits;
}

std::vector<float> layer_by_layer(const LanguageModel& model, std::span<const int32_t> ids,
                                  uint64_t tokens, int threads,
                                  const InputObserver& observer = {}) {
  const DecoderWeights& w = model.weights();
  LayerRunner runner(model.config(), tokens, threads);
  Matrix stream = embed(*w.embedding, ids), logits;
  for (uint32_t l = 0; l < w.layers.size(); ++l) runner.run(w.layers[l], l, stream, observer);
  runner.head(w.norm, w.head, stream.view(), logits, observer);
  return logits.values;
}

void expect_as_sessions(const DecoderConfig& c, uint64_t tokens, uint64_t texts) {
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const std::vector<int32_t> ids = some_ids(c, tokens * texts);
  const std::vector<float> wanted = from_sessions(model, ids, tokens);
  const std::vector<float> got = layer_by_layer(model, ids, tokens, 1);
  ASSERT_EQ(got.size(), wanted.size());
  float worst = 0;
  for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::fabs(got[i] - wanted[i]));
  EXPECT_LT(worst, 1e-4F);
  EXPECT_EQ(layer_by_layer(model, ids, tokens, 2), got);
}

TEST(LayerRunner, GivesWhatSessionsGive) {
  DecoderConfig c = small_config();
  expect_as_sessions(c, 30, 3);
  expect_as_sessions(c, 1, 5);
  c.windows = {0, 7, 3};
  c.rope_layout = RopeLayout::kPairs;
  expect_as_sessions(c, 20, 2);
  expect_as_sessions(small_config(Architecture::kQwen2), 20, 2);
  expect_as_sessions(small_config(Architecture::kQwen3), 20, 2);
  expect_as_sessions(small_experts(Architecture::kQwen2Moe), 20, 2);
  expect_as_sessions(small_experts(Architecture::kMixtral), 20, 2);
}

TEST(LayerRunner, GivesItForMoreTextsThanGoTogetherAndForLongOnes) {
  DecoderConfig c = small_config();
  c.layers = 1;
  expect_as_sessions(c, 700, 5);
  expect_as_sessions(c, LayerRunner::kMostRows + 10, 2);
}

TEST(LayerRunner, ObserversSeeAllRowsInTheirOrder) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const std::vector<int32_t> ids = some_ids(c, 60);
  std::map<std::string, std::vector<float>> alone, together;
  const auto into = [](std::map<std::string, std::vector<float>>& seen) {
    return [&seen](std::span<const std::string_view> tensors, MatrixView inputs) {
      for (const std::string_view name : tensors) {
        auto& all = seen[std::string(name)];
        all.insert(all.end(), inputs.data, inputs.data + inputs.shape.size());
      }
    };
  };
  for (uint64_t at = 0; at < 60; at += 20) {
    Session session(model, 20);
    session.observe(into(alone));
    session.feed(std::span(ids).subspan(at, 20), Logits::kAll);
  }
  layer_by_layer(model, ids, 20, 1, into(together));
  EXPECT_EQ(together.size(), c.layers * 7 + 1);
  for (const auto& [name, wanted] : alone) {
    const std::vector<float>& got = together[name];
    ASSERT_EQ(got.size(), wanted.size()) << name;
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-4F) << name;
  }
}

TEST(LayerRunner, NormsAreTheInputsOfTheHead) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const DecoderWeights& w = model.weights();
  LayerRunner runner(c, 5);
  const Matrix stream = embed(*w.embedding, some_ids(c, 10));
  const MatrixView normed = runner.norm(w.norm, stream.view());
  const std::vector<float> got(normed.data, normed.data + normed.shape.size());
  Matrix logits;
  runner.head(w.norm, w.head, stream.view(), logits, [&](auto, MatrixView inputs) {
    EXPECT_EQ(got, std::vector<float>(inputs.data, inputs.data + inputs.shape.size()));
  });
  EXPECT_EQ(logits.shape, (form::Shape{10, c.vocabulary}));
}

TEST(LayerRunner, HeadsThatAskForNothingLookEverywhereAlike) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  constexpr uint64_t kTokens = 40;
  LayerRunner runner(c, kTokens, 2);
  const Matrix text = embed(*model.weights().embedding, some_ids(c, kTokens));
  DecoderLayer layer = model.weights().layers[0];
  layer.q.weight = form::zeros(layer.q.weight->shape());
  layer.q.bias.clear();
  HeadAttention wanted;
  for (uint64_t t = 0; t < kTokens; ++t) {
    const auto seen = static_cast<double>(t + 1);
    wanted.entropy += std::log2(seen) / kTokens;
    wanted.first += 1 / seen / kTokens;
    wanted.recent += std::min(1.0, HeadAttention::kRecent / seen) / kTokens;
    wanted.distance += static_cast<double>(t) / 2 / kTokens;
  }
  const auto heads = runner.attention(layer, 0, text.view());
  ASSERT_EQ(heads.size(), c.heads);
  for (const HeadAttention& h : heads) {
    EXPECT_NEAR(h.entropy, wanted.entropy, 1e-6);
    EXPECT_NEAR(h.first, wanted.first, 1e-6);
    EXPECT_NEAR(h.recent, wanted.recent, 1e-6);
    EXPECT_NEAR(h.distance, wanted.distance, 1e-5);
  }
  EXPECT_EQ(LayerRunner(c, kTokens, 1).attention(layer, 0, text.view()), heads);
  EXPECT_THROW(runner.attention(layer, c.layers, text.view()), Error);
  EXPECT_THROW(runner.attention(layer, 0, {text.values.data(), {kTokens - 1, c.width}}), Error);
}

TEST(LayerRunner, RefusesStreamsAndLayersThatAreNotThere) {
  const DecoderConfig c = small_config();
  const LanguageModel model = make_model(MemoryWeights(c, random_tensors(c)));
  const DecoderWeights& w = model.weights();
  EXPECT_THROW(LayerRunner(c, 0), Error);
  EXPECT_THROW(LayerRunner(c, uint64_t{1} << 60), Error);
  LayerRunner runner(c, 20);
  EXPECT_GT(runner.needed_bytes(), 0u);
  Matrix uneven(form::Shape{21, c.width}), narrow(form::Shape{20, c.width - 1}), none;
  Matrix right(form::Shape{20, c.width});
  EXPECT_THROW(runner.run(w.layers[0], 0, uneven), Error);
  EXPECT_THROW(runner.run(w.layers[0], 0, narrow), Error);
  EXPECT_THROW(runner.run(w.layers[0], c.layers, right), Error);
  EXPECT_THROW(runner.head(w.norm, w.head, narrow.view(), none), Error);
  EXPECT_THROW(embed(*w.embedding, std::vector<int32_t>{-1}), Error);
  EXPECT_THROW(embed(*w.embedding, std::vector<int32_t>{67}), Error);
  Matrix empty(form::Shape{0, c.width});
  runner.run(w.layers[0], 0, empty);
  EXPECT_EQ(empty.shape.rows, 0u);
}

}  // namespace
}  // namespace pith::model
