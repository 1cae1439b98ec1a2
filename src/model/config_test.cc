#include "pith/model/config.h"

#include <gtest/gtest.h>

#include <functional>

#include "pith/model/tensor_names.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;
using nlohmann::json;

DecoderConfig read(const json& j, std::string_view generation = {}) {
  const std::string text = j.dump();
  return config_from_json(as_bytes(text), as_bytes(generation));
}

json with(std::initializer_list<std::pair<const char*, json>> changes,
          Architecture architecture = Architecture::kLlama) {
  json j = config_json(small_config(architecture));
  for (const auto& [key, value] : changes) {
    if (value.is_null()) {
      j.erase(key);
    } else {
      j[key] = value;
    }
  }
  return j;
}

TEST(Config, IsReadAsWritten) {
  DecoderConfig c = small_config(Architecture::kQwen3);
  c.rope_base = 1e6;
  c.tied_embeddings = true;
  const DecoderConfig r = read(config_json(c));
  EXPECT_EQ(r.architecture, Architecture::kQwen3);
  EXPECT_EQ(r.vocabulary, c.vocabulary);
  EXPECT_EQ(r.layers, c.layers);
  EXPECT_EQ(r.width, c.width);
  EXPECT_EQ(r.heads, c.heads);
  EXPECT_EQ(r.kv_heads, c.kv_heads);
  EXPECT_EQ(r.head_size, c.head_size);
  EXPECT_EQ(r.feed_forward, c.feed_forward);
  EXPECT_EQ(r.norm_eps, c.norm_eps);
  EXPECT_EQ(r.rope_base, 1e6);
  EXPECT_EQ(r.rope_size, c.head_size);
  EXPECT_EQ(r.context, 96U);
  EXPECT_TRUE(r.tied_embeddings);
  EXPECT_TRUE(r.qk_norm);
  EXPECT_EQ(r.rope_layout, RopeLayout::kHalves);
  EXPECT_EQ(r.bos, 1);
  EXPECT_EQ(r.eos, (std::vector<int32_t>{2, 3}));
}

TEST(Config, DefaultsAreThoseOfHuggingFace) {
  const DecoderConfig c = read({{"model_type", "llama"},
                                {"vocab_size", 10},
                                {"num_hidden_layers", 1},
                                {"hidden_size", 64},
                                {"num_attention_heads", 4},
                                {"intermediate_size", 20}});
  EXPECT_EQ(c.kv_heads, 4U);
  EXPECT_EQ(c.head_size, 16U);
  EXPECT_EQ(c.norm_eps, 1e-6F);
  EXPECT_EQ(c.rope_base, 10000);
  EXPECT_FALSE(c.tied_embeddings);
  EXPECT_TRUE(c.windows.empty());
  EXPECT_TRUE(c.eos.empty());
}

TEST(Config, GenerationConfigAddsEnds) {
  const DecoderConfig c = read(with({{"eos_token_id", 2}}), R"({"eos_token_id": [2, 7]})");
  EXPECT_EQ(c.eos, (std::vector<int32_t>{2, 7}));
}

TEST(Config, ScalingsInOldAndNewSpelling) {
  using Kind = RopeScaling::Kind;
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  const DecoderConfig a = read(with({{"rope_scaling", llama3}}));
  EXPECT_EQ(a.rope_scaling.kind, Kind::kLlama3);
  EXPECT_EQ(a.rope_scaling.factor, 8);
  EXPECT_EQ(a.rope_scaling.original_context, 8192U);
  const DecoderConfig b = read(with({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}));
  EXPECT_EQ(b.rope_scaling.kind, Kind::kLinear);
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"rope_theta", 5e5}};
  const DecoderConfig d = read(with({{"rope_parameters", yarn}, {"rope_theta", {}}}));
  EXPECT_EQ(d.rope_scaling.kind, Kind::kYarn);
  EXPECT_EQ(d.rope_base, 5e5);
  EXPECT_SAYS(
      [&] {
        read(with({{"rope_scaling", {{"type", "spiral"}}}}));
      },
      "RoPE scaling 'spiral' is not one of");
}

TEST(Config, WindowsByArchitecture) {
  EXPECT_EQ(read(with({{"sliding_window", 16}}, Architecture::kMistral)).window(2), 16U);
  EXPECT_TRUE(read(with({{"sliding_window", 16}}, Architecture::kQwen2)).windows.empty());
  const DecoderConfig qwen =
      read(with({{"sliding_window", 16}, {"use_sliding_window", true}, {"max_window_layers", 2}},
                Architecture::kQwen2));
  EXPECT_EQ(qwen.windows, (std::vector<uint32_t>{0, 0, 16}));
  const json types = {"sliding_attention", "full_attention", "sliding_attention"};
  const DecoderConfig typed =
      read(with({{"sliding_window", 16}, {"layer_types", types}}, Architecture::kMistral));
  EXPECT_EQ(typed.windows, (std::vector<uint32_t>{16, 0, 16}));
}

TEST(Config, ThresholdsOfExperts) {
  json j = config_json(small_experts(Architecture::kMixtral));
  EXPECT_TRUE(read(j).expert_thresholds.empty());
  j["expert_thresholds"] = {{"ratio", {0.25, nullptr, 0.5}}, {"importance", {nullptr, 3, 12.5}}};
  const DecoderConfig c = read(j);
  const float none = std::numeric_limits<float>::infinity();
  EXPECT_EQ(c.thresholds(0), (ExpertThresholds{0.25F, none}));
  EXPECT_EQ(c.thresholds(1), (ExpertThresholds{0, 3}));
  EXPECT_EQ(c.thresholds(2), (ExpertThresholds{0.5F, 12.5F}));
  for (const json& bad :
       {json(3), json{{"ratio", {0.1, 0.2}}}, json{{"ratio", {2, 0, 0}}},
        json{{"importance", {-1, 0, 0}}}, json{{"ratio", {"x", 0, 0}}}, json{{"ratio", 0.5}}}) {
    j["expert_thresholds"] = bad;
    EXPECT_THROW(read(j), Error) << bad;
  }
}

TEST(Config, WhatCannotBeIsRefusedByName) {
  const auto refused = [](std::initializer_list<std::pair<const char*, json>> changes,
                          const char* message) {
    EXPECT_SAYS([&] { read(with(changes)); }, message);
  };
  refused({{"hidden_size", {}}}, "config.json: there is no hidden_size");
  refused({{"num_attention_heads", 0}}, "num_attention_heads is 0");
  refused({{"num_key_value_heads", 4}}, "6 heads cannot share 4 key-value heads");
  refused({{"num_key_value_heads", 0}}, "key-value heads");
  refused({{"num_hidden_layers", 4'000'000'000}}, "num_hidden_layers");
  refused({{"vocab_size", -5}}, "vocab_size is not an integer");
  refused({{"vocab_size", "many"}}, "vocab_size is not an integer");
  refused({{"head_dim", 7}}, "rotated part");
  refused({{"rope_theta", -1.0}}, "base of RoPE");
  refused({{"rope_scaling", {{"rope_type", "llama3"}}}}, "rope_scaling has no factor");
  refused({{"rms_norm_eps", -1.0}}, "epsilon");
  refused({{"hidden_act", "gelu"}}, "hidden_act 'gelu' is not silu");
  refused({{"rope_scaling", {{"type", "longrope"}}}}, "longrope without");
  refused({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}, "factor of RoPE scaling");
  refused({{"architectures", {"LlamaForSequenceClassification"}}},
          "'LlamaForSequenceClassification' is no language model");
  EXPECT_SAYS([&] { config_from_json(as_bytes("[]")); }, "not an object");
  EXPECT_SAYS([&] { config_from_json(as_bytes("{")); }, "config.json");
}

TEST(Config, OfGguf) {
  DecoderConfig c = small_config();
  c.rope_scaling.kind = RopeScaling::Kind::kYarn;
  c.rope_scaling.factor = 4;
  c.rope_scaling.original_context = 24;
  io::GgufMetadata metadata = gguf_metadata(c);
  metadata.emplace_back("tokenizer.ggml.eos_token_id", uint32_t{5});
  const DecoderConfig r = config_from_gguf(metadata);
  EXPECT_EQ(r.architecture, Architecture::kLlama);
  EXPECT_EQ(r.rope_layout, RopeLayout::kPairs);
  EXPECT_EQ(r.head_size, c.head_size);
  EXPECT_EQ(r.rope_scaling.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(r.eos, (std::vector<int32_t>{5}));
  EXPECT_EQ(config_from_gguf(gguf_metadata(small_config(Architecture::kQwen2))).rope_layout,
            RopeLayout::kHalves);
  EXPECT_EQ(config_from_gguf(gguf_metadata(small_experts(Architecture::kMixtral))).architecture,
            Architecture::kMixtral);
  for (size_t k = 1; k < 6; ++k) {
    io::GgufMetadata less = gguf_metadata(c);
    const std::string name = less[k].first;
    less.erase(less.begin() + static_cast<int64_t>(k));
    if (name == "llama.vocab_size" || name == "llama.attention.head_count_kv") continue;
    EXPECT_SAYS([&] { config_from_gguf(less); }, name);
  }
}

// As nvidia/Llama-3_1-Nemotron-51B-Instruct has it, with smaller numbers.
json with_blocks(const char* blocks) {
  json j = with({{"num_key_value_heads", nullptr}, {"intermediate_size", nullptr}});
  j["model_type"] = "nemotron-nas";
  j["architectures"] = {"DeciLMForCausalLM"};
  j["block_configs"] = json::parse(blocks);
  return j;
}

TEST(Config, LayersMayDiffer) {
  const DecoderConfig c = read(with_blocks(R"([
      {"attention": {"n_heads_in_group": 3, "no_op": false, "replace_with_linear": false},
       "ffn": {"ffn_mult": 2.625, "no_op": false, "replace_with_linear": false}},
      {"attention": {"n_heads_in_group": null, "no_op": true, "replace_with_linear": false},
       "ffn": {"ffn_mult": 10, "no_op": false, "replace_with_linear": false}},
      {"attention": {"n_heads_in_group": 1, "num_attention_heads": 3, "no_op": false},
       "ffn": {"intermediate_size": 11, "no_op": false}}])"));
  EXPECT_EQ(c.architecture, Architecture::kDeci);
  ASSERT_EQ(c.layer_sizes.size(), 3U);
  // 2 / 3 of a multiple of the width, then a multiple of 256.
  EXPECT_EQ(c.sizes(0), (LayerSizes{6, 2, 256}));
  EXPECT_EQ(c.sizes(1), (LayerSizes{0, 0, 512}));
  EXPECT_EQ(c.sizes(2), (LayerSizes{3, 3, 11}));
  EXPECT_EQ(c.heads, 6U);
  EXPECT_EQ(c.kv_heads, 3U);
  EXPECT_EQ(c.feed_forward, 512U);
  EXPECT_FALSE(c.has_attention(1));
}

TEST(Config, BlocksThatCannotBe) {
  const auto blocks = [](const std::string& attention, const std::string& ffn) {
    const std::string one = R"({"attention": )" + attention + R"(, "ffn": )" + ffn + "}";
    const std::string all = "[" + one + "," + one + "," + one + "]";
    read(with_blocks(all.c_str()));
  };
  const char* const attention = R"({"n_heads_in_group": 3})";
  const char* const ffn = R"({"intermediate_size": 8})";
  EXPECT_NO_THROW(blocks(attention, ffn));
  EXPECT_SAYS([&] { blocks(R"({"n_heads_in_group": 4})", ffn); }, "6 heads in groups of 4");
  EXPECT_SAYS([&] { blocks(R"({"n_heads_in_group": 0})", ffn); }, "groups of 0");
  EXPECT_SAYS([&] { blocks(R"({"n_heads_in_group": 3, "window_length": 4})", ffn); },
              "window_length does not run");
  EXPECT_SAYS([&] { blocks(R"({"replace_with_linear": true})", ffn); }, "replace_with_linear");
  EXPECT_SAYS([&] { blocks(attention, R"({"ffn_mult": -1})"); }, "ffn_mult");
  EXPECT_SAYS([&] { blocks(attention, "[]"); }, "there is no ffn");
  EXPECT_SAYS([&] { read(with_blocks("[]")); }, "block_configs");
  json none = with_blocks("[]");
  none.erase("block_configs");
  none["intermediate_size"] = 8;
  EXPECT_SAYS([&] { read(none); }, "block_configs");
}

TEST(TensorNames, GoBothWays) {
  for (const auto a : {Architecture::kLlama, Architecture::kMixtral, Architecture::kQwen2Moe,
                       Architecture::kQwen3}) {
    const bool experts = a == Architecture::kMixtral || a == Architecture::kQwen2Moe;
    DecoderConfig c = experts ? small_experts(a) : small_config(a);
    c.qkv_bias = true;
    for (const auto& [name, tensor] : random_tensors(c)) {
      const auto gguf = gguf_tensor_name(name);
      ASSERT_TRUE(gguf) << name;
      EXPECT_EQ(hf_tensor_name(*gguf, a), name);
      EXPECT_EQ(holds_all_experts(gguf->name), gguf->expert.has_value());
    }
  }
}

TEST(TensorNames, AreThoseOfLlamaCpp) {
  const auto plain = [](const char* name) { return GgufTensorName{name, {}}; };
  EXPECT_EQ(gguf_tensor_name("model.layers.3.self_attn.q_proj.weight"),
            plain("blk.3.attn_q.weight"));
  EXPECT_EQ(gguf_tensor_name("model.embed_tokens.weight"), plain("token_embd.weight"));
  EXPECT_EQ(gguf_tensor_name("lm_head.weight"), plain("output.weight"));
  EXPECT_EQ(gguf_tensor_name("model.layers.12.block_sparse_moe.experts.7.w2.weight"),
            (GgufTensorName{"blk.12.ffn_down_exps.weight", 7}));
  EXPECT_EQ(hf_tensor_name({"blk.0.ffn_up.7.weight", {}}, Architecture::kMixtral),
            "model.layers.0.block_sparse_moe.experts.7.w3.weight");
  for (const char* name :
       {"model.layers.x.mlp.up_proj.weight", "model.layers.03.mlp.up_proj.weight",
        "model.layers.3.mlp.up_proj", "model.layers.99999999999.mlp.up_proj.weight",
        "model.layers.1.mlp.experts..up_proj.weight", "", ".weight"}) {
    EXPECT_EQ(gguf_tensor_name(name), std::nullopt) << name;
  }
  for (const char* name : {"rope_freqs.weight", "blk.0.ffn_up.7x.weight", "blk..ffn_up.weight"}) {
    EXPECT_EQ(hf_tensor_name({name, {}}, Architecture::kLlama), std::nullopt) << name;
  }
}

TEST(TensorNames, RowsInPairs) {
  EXPECT_EQ(paired_row(0, 8), 0U);
  EXPECT_EQ(paired_row(1, 8), 2U);
  EXPECT_EQ(paired_row(4, 8), 1U);
  EXPECT_EQ(paired_row(15, 8), 15U);
  for (uint64_t r = 0; r < 60; ++r) EXPECT_EQ(halved_row(paired_row(r, 20), 20), r);
  EXPECT_TRUE(
      has_paired_rows_in_gguf("model.layers.0.self_attn.k_proj.bias", Architecture::kLlama));
  EXPECT_FALSE(
      has_paired_rows_in_gguf("model.layers.0.self_attn.v_proj.weight", Architecture::kLlama));
  EXPECT_FALSE(
      has_paired_rows_in_gguf("model.layers.0.self_attn.q_proj.weight", Architecture::kQwen2));
}

}  // namespace
}  // namespace pith::model
