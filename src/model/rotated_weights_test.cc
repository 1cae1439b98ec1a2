#include "pith/model/rotated_weights.h"

#include <gtest/gtest.h>

#include "pith/fit/rotation.h"
#include "reference_decoder.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;
using fit::hadamard_rotation;

Rotation rotations(const DecoderConfig& c, bool stream, bool values) {
  Rotation r;
  if (stream) r.stream = hadamard_rotation(c.width, 3);
  for (uint32_t i = 0; values && i < c.layers * c.kv_heads; ++i) {
    r.values.push_back(hadamard_rotation(c.head_size, 10 + i));
  }
  return r;
}

// From 0.4 to 2.4, each channel its own.
std::vector<std::vector<float>> some_scales(const DecoderConfig& c) {
  std::vector<std::vector<float>> all(c.layers * 2, std::vector<float>(c.width));
  for (size_t n = 0; n < all.size(); ++n) {
    for (size_t i = 0; i < c.width; ++i) {
      all[n][i] = 0.4F + 2 * static_cast<float>((i * 7 + n * 5) % 11) / 10;
    }
  }
  return all;
}

TEST(RotatedWeights, ComputeTheSameInEveryArchitecture) {
  for (const auto a : {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3,
                       Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    const bool experts = a == Architecture::kMixtral || a >= Architecture::kQwen2Moe;
    for (const bool tied : {false, true}) {
      DecoderConfig c = experts ? small_experts(a) : small_config(a);
      c.tied_embeddings = tied;
      if (a == Architecture::kLlama) c.qkv_bias = c.output_bias = c.mlp_bias = true;
      const MemoryWeights weights(c, random_tensors(c));
      const auto wanted = logits_of(make_model(weights));
      for (const int what : {1, 2, 3, 4, 7}) {
        const bool stream = what & 1, values = what & 2, scaled = what & 4;
        Rotation rotation = rotations(c, stream, values);
        if (scaled) rotation.scales = some_scales(c);
        const RotatedWeights rotated(weights, std::move(rotation));
        EXPECT_EQ(rotated.config().tied_embeddings, tied && !stream);
        EXPECT_LT(farthest(logits_of(make_model(rotated)), wanted), 1e-4)
            << hf_name(a) << tied << what;
      }
    }
  }
}

TEST(RotatedWeights, ChangeWhatTheyMustAndNothingElse) {
  DecoderConfig c = small_config();
  c.tied_embeddings = true;
  const MemoryWeights weights(c, random_tensors(c), DType::kBF16);
  const RotatedWeights values(weights, rotations(c, false, true));
  EXPECT_EQ(values.names(), weights.names());
  for (const std::string& name : values.names()) {
    const bool changes = name.ends_with("v_proj.weight") || name.ends_with("o_proj.weight");
    EXPECT_EQ(values.changes(name), changes) << name;
    if (!changes) {
      EXPECT_EQ(values.form(name), weights.form(name)) << name;
    }
  }
  const RotatedWeights scaled(weights, {.stream = {}, .values = {}, .scales = some_scales(c)});
  EXPECT_EQ(scaled.names(), weights.names());
  for (const std::string& name : scaled.names()) {
    const bool changes = name.ends_with("layernorm.weight") || name.find("q_proj.w") != name.npos ||
                         name.find("k_proj.w") != name.npos || name.find("v_proj.w") != name.npos ||
                         name.find("gate_proj.w") != name.npos ||
                         name.find("up_proj.w") != name.npos;
    EXPECT_EQ(scaled.changes(name), changes) << name;
  }
  const RotatedWeights all(weights, rotations(c, true, true));
  EXPECT_EQ(all.names().size(), weights.names().size() + 1);
  for (const std::string& name : all.names()) {
    EXPECT_TRUE(all.changes(name)) << name;
    ASSERT_TRUE(all.form(name)) << name;
    if (!name.ends_with("norm.weight")) continue;
    for (const float v : form::decode(*all.form(name)).values) EXPECT_EQ(v, 1);
  }
  EXPECT_FALSE(all.form("model.layers.0.self_attn.o_proj.bias"));
  EXPECT_FALSE(all.form("model.layers.7.self_attn.o_proj.weight"));
}

TEST(RotatedWeights, TheReferenceModelComputesTheSame) {
  const std::filesystem::path lm =
      std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() / "data/lm";
  const auto weights = open_weights(lm);
  const DecoderConfig& c = weights->config();
  const RotatedWeights rotated(*weights, rotations(c, true, true));
  const LanguageModel before = make_model(*weights), after = make_model(rotated);
  const std::vector<int32_t> ids =
      before.tokenizer()->encode("It was a bright cold day, and the clocks struck thirteen.");
  const auto logits = [&](const LanguageModel& model) {
    Session session(model, ids.size(), 1);
    const auto last = session.feed(ids);
    return std::vector<float>(last.data, last.data + last.shape.size());
  };
  const auto wanted = logits(before);
  // Logits are of the size of 10.
  EXPECT_LT(farthest(logits(after), wanted), 1e-3);
}

TEST(RotatedWeights, RefuseWhatCannotBe) {
  const DecoderConfig c = small_config();
  Tensors tensors = random_tensors(c);
  const MemoryWeights weights(c, tensors);
  const auto with = [&](Rotation r) {
    return message_of([&] { RotatedWeights(weights, std::move(r)); });
  };
  EXPECT_EQ(with({.stream = hadamard_rotation(32, 1), .values = {}}),
            "a rotation of the residual stream is 32 x 32, not 44 x 44");
  form::Matrix sheared = hadamard_rotation(44, 1);
  sheared.values[3] += 0.1F;
  EXPECT_EQ(with({.stream = sheared, .values = {}}),
            "a rotation of the residual stream is not orthogonal");
  EXPECT_EQ(with({.stream = {}, .values = {hadamard_rotation(20, 1)}}),
            "1 rotations of values for 3 layers of 2 heads");
  EXPECT_NE(with({.stream = {}, .values = std::vector<form::Matrix>(6)}), "");

  auto scales = some_scales(c);
  scales[5][43] = 0;
  EXPECT_EQ(with({.stream = {}, .values = {}, .scales = scales}),
            "a channel cannot be scaled by 0");
  scales[5].pop_back();
  EXPECT_EQ(with({.stream = {}, .values = {}, .scales = scales}), "43 scales of 44 channels");
  scales.pop_back();
  EXPECT_EQ(with({.stream = {}, .values = {}, .scales = scales}),
            "scales of 5 norms for 3 layers of two");

  tensors["model.layers.1.mlp.up_proj.weight"].values[5] = NAN;
  tensors["model.layers.2.input_layernorm.weight"].values[1] = INFINITY;
  const MemoryWeights damaged(c, tensors);
  const RotatedWeights rotated(damaged, rotations(c, true, true));
  EXPECT_EQ(message_of([&] { rotated.form("model.layers.1.mlp.up_proj.weight"); }),
            "memory: tensor model.layers.1.mlp.up_proj.weight cannot be rotated: element 5 is nan");
  EXPECT_EQ(message_of([&] { rotated.form("model.layers.2.self_attn.k_proj.weight"); }),
            "memory: tensor model.layers.2.input_layernorm.weight cannot be rotated: element 1 is "
            "inf");
}

}  // namespace
}  // namespace pith::model
