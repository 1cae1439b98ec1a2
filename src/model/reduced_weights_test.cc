// Models whose layers differ: they compute what the whole model does with zeros in their place.
#include "pith/model/reduced_weights.h"

#include <gtest/gtest.h>

#include <numeric>

#include "pith/base/error.h"
#include "pith/model/export_gguf.h"
#include "pith/model/gradient.h"
#include "reference_decoder.h"
#include "testing_model.h"

namespace pith::model {
namespace {

using testing::logits_of;
using testing::MemoryWeights;
using testing::random_tensors;
using testing::small_config;
using testing::Tensors;

std::vector<uint32_t> all_but(uint32_t n, std::vector<uint32_t> gone) {
  std::vector<uint32_t> kept;
  for (uint32_t i = 0; i < n; ++i) {
    if (std::ranges::find(gone, i) == gone.end()) kept.push_back(i);
  }
  return kept;
}

// Of 3 layers of 6 heads, 2 of keys and values, and 52 units: one group of heads and some units go;
// attention alone; one head of each group and the feed-forward part.
Reduction some_of_each() {
  Reduction r{std::vector<ReducedLayer>(3)};
  r.layers[0].heads = {3, 4, 5};
  r.layers[0].units = all_but(52, {0, 7, 8, 30, 51});
  r.layers[1].heads.emplace();
  r.layers[2].heads = {0, 2, 3, 4};
  r.layers[2].units.emplace();
  return r;
}

// The same with zeros in what reads the heads and units that go.
Tensors with_zeros(const DecoderConfig& c, Tensors tensors, const Reduction& reduction) {
  const auto clear = [&](const std::string& name, const std::vector<uint32_t>& kept,
                         uint32_t group) {
    testing::Tensor& t = tensors.at(name);
    for (size_t i = 0; i < t.values.size(); ++i) {
      const auto unit = static_cast<uint32_t>(i % t.shape[1] / group);
      if (std::ranges::find(kept, unit) == kept.end()) t.values[i] = 0;
    }
  };
  for (uint32_t l = 0; l < c.layers; ++l) {
    const std::string at = "model.layers." + std::to_string(l) + ".";
    const ReducedLayer& layer = reduction.layers[l];
    if (layer.heads) clear(at + "self_attn.o_proj.weight", *layer.heads, c.head_size);
    if (layer.units) clear(at + "mlp.down_proj.weight", *layer.units, 1);
  }
  return tensors;
}

double farthest(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(double{a[i]} - b[i]));
  return most;
}

std::string refusal(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

class ReducedWeightsTest : public ::testing::TestWithParam<Architecture> {};

TEST_P(ReducedWeightsTest, ComputesWhatZerosGive) {
  const DecoderConfig c = small_config(GetParam());
  const Tensors tensors = random_tensors(c);
  const MemoryWeights whole(c, tensors), zeros(c, with_zeros(c, tensors, some_of_each()));
  const ReducedWeights reduced(whole, some_of_each());
  const LanguageModel model = make_model(reduced);
  EXPECT_LT(farthest(logits_of(model), logits_of(make_model(zeros))), 1e-4);
  EXPECT_EQ(reduced.config().sizes(0), (LayerSizes{3, 1, 47}));
  EXPECT_EQ(reduced.config().sizes(1), (LayerSizes{0, 0, 52}));
  EXPECT_EQ(reduced.config().sizes(2), (LayerSizes{4, 2, 0}));
}

TEST_P(ReducedWeightsTest, IsWhatPlainLoopsCompute) {
  const DecoderConfig c = small_config(GetParam());
  const MemoryWeights whole(c, random_tensors(c));
  const ReducedWeights reduced(whole, some_of_each());
  const std::vector<float> logits = logits_of(make_model(reduced));
  testing::ReferenceDecoder reference(reduced, c.vocabulary);
  for (int32_t id = 0; id < 20; ++id) {
    const testing::Doubles wanted = reference.feed(id);
    for (uint32_t i = 0; i < c.vocabulary; ++i) {
      EXPECT_NEAR(logits[static_cast<size_t>(id) * c.vocabulary + i], wanted[i], 1e-4);
    }
  }
}

TEST_P(ReducedWeightsTest, GradientsAreThoseWithZeros) {
  const DecoderConfig c = small_config(GetParam());
  const Tensors tensors = random_tensors(c);
  const MemoryWeights whole(c, tensors), zeros(c, with_zeros(c, tensors, some_of_each()));
  const ReducedWeights reduced(whole, some_of_each());
  const auto gradients = [&](const WeightSource& source) {
    GradientPass pass(make_model(source), 16, 2, next_token_loss(2));
    std::vector<int32_t> ids(32);
    std::iota(ids.begin(), ids.end(), 5);
    std::map<std::string, std::vector<float>> all;
    GradientObserver observer;
    observer.linear = [&](std::string_view name, form::MatrixView, form::MatrixView g) {
      all[std::string(name)].assign(g.data, g.data + g.shape.size());
    };
    observer.embedding = [&](std::string_view name, std::span<const int32_t>, form::MatrixView g) {
      all[std::string(name)].assign(g.data, g.data + g.shape.size());
    };
    pass.run(ids, observer);
    return all;
  };
  const auto wanted = gradients(zeros), made = gradients(reduced);
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.up_proj.weight"}) {
    const auto &a = wanted.at(name), &b = made.at(name);
    double most = 0;
    for (const float v : a) most = std::max(most, std::abs(double{v}));
    ASSERT_EQ(a.size(), b.size()) << name;
    EXPECT_LT(farthest(a, b), 1e-4 * most) << name;
  }
  EXPECT_FALSE(made.contains("model.layers.1.self_attn.o_proj.weight"));
  EXPECT_FALSE(made.contains("model.layers.2.mlp.down_proj.weight"));
}

INSTANTIATE_TEST_SUITE_P(Architectures, ReducedWeightsTest,
                         ::testing::Values(Architecture::kLlama, Architecture::kQwen2,
                                           Architecture::kQwen3),
                         [](const auto& of) { return std::string(hf_name(of.param)); });

TEST(ReducedWeights, WhatIsNotThereTakesNoRoom) {
  const DecoderConfig c = small_config();
  const MemoryWeights whole(c, random_tensors(c));
  const auto bytes = [&](std::vector<size_t> without) {
    Reduction r{std::vector<ReducedLayer>(3)};
    for (const size_t l : without) r.layers[l].heads.emplace();
    return Session(make_model(ReducedWeights(whole, r)), 60).cache_bytes();
  };
  const uint64_t all = bytes({});
  EXPECT_EQ(bytes({1}) * 3, all * 2);
  EXPECT_EQ(bytes({0, 1, 2}), 0u);
  Reduction groups{std::vector<ReducedLayer>(3)};
  groups.layers[0].heads = {0, 1, 2};
  EXPECT_EQ(Session(make_model(ReducedWeights(whole, groups)), 60).cache_bytes() * 6, all * 5);
}

TEST(ReducedWeights, TextsInPiecesAndParallelGiveTheSame) {
  const DecoderConfig c = small_config();
  const MemoryWeights whole(c, random_tensors(c));
  const ReducedWeights reduced(whole, some_of_each());
  const LanguageModel model = make_model(reduced);
  const std::vector<float> wanted = logits_of(model);
  Session session(model, 67, 3);
  std::vector<float> made;
  for (int32_t id = 0; id < 67; ++id) {
    const form::MatrixView m = session.feed({&id, 1});
    made.insert(made.end(), m.data, m.data + m.shape.size());
  }
  EXPECT_LT(farthest(made, wanted), 1e-4);
}

TEST(ReducedWeights, ReplacedColumnsAreUsed) {
  const DecoderConfig c = small_config();
  const MemoryWeights whole(c, random_tensors(c), DType::kBF16);
  Reduction r{std::vector<ReducedLayer>(3)};
  r.layers[1].units = {2, 50};
  r.layers[1].down = form::Matrix({44, 2});
  std::ranges::fill(r.layers[1].down.values, 0.5F);
  const ReducedWeights reduced(whole, r);
  const form::FormPtr down = reduced.form("model.layers.1.mlp.down_proj.weight");
  EXPECT_EQ(form::decode(*down).values, r.layers[1].down.values);
  EXPECT_EQ(form::to_string(down->expression()),
            form::to_string(whole.form("model.layers.1.mlp.down_proj.weight")->expression()));
  const form::Matrix up = form::decode(*reduced.form("model.layers.1.mlp.up_proj.weight"));
  const form::Matrix was = form::decode(*whole.form("model.layers.1.mlp.up_proj.weight"));
  EXPECT_TRUE(std::ranges::equal(up.view().row(1), was.view().row(50)));
}

TEST(ReducedWeights, AGgufFileOfItComputesTheSame) {
  const DecoderConfig c = small_config();
  const MemoryWeights whole(c, random_tensors(c));
  const ReducedWeights reduced(whole, some_of_each());
  const testing::Folder folder;
  const auto path = folder.path() / "m.gguf";
  export_gguf(reduced, path, {});
  const auto read = open_weights(path);
  EXPECT_EQ(read->config().architecture, Architecture::kDeci);
  EXPECT_EQ(read->config().layer_sizes, reduced.config().layer_sizes);
  EXPECT_LT(farthest(logits_of(make_model(*read)), logits_of(make_model(reduced))), 1e-4);
}

TEST(ReducedWeights, RefusesWhatCannotBe) {
  const DecoderConfig c = small_config();
  const MemoryWeights whole(c, random_tensors(c));
  const auto with = [&](const std::function<void(ReducedLayer&)>& change) {
    Reduction r{std::vector<ReducedLayer>(3)};
    change(r.layers[1]);
    return refusal([&] { const ReducedWeights made(whole, r); });
  };
  EXPECT_EQ(with([](ReducedLayer& l) {
              l.heads = {0, 1, 3};
            }),
            "layer 1: kept query heads are not shared evenly by those of keys and values");
  EXPECT_NE(with([](ReducedLayer& l) { l.heads = {6}; }), "");
  EXPECT_NE(with([](ReducedLayer& l) { l.units = {3, 2}; }), "");
  EXPECT_NE(with([](ReducedLayer& l) { l.units = {52}; }), "");
  EXPECT_NE(with([](ReducedLayer& l) { l.down = form::Matrix({44, 51}); }), "");
  EXPECT_NE(refusal([&] { const ReducedWeights made(whole, {}); }), "");
}

}  // namespace
}  // namespace pith::model
