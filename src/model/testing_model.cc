#include "testing_model.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "pith/base/half.h"
#include "pith/form/tensor.h"
#include "pith/model/tensor_names.h"

namespace pith::model::testing {
namespace {

// The names and shapes of all tensors, matrices with entries of variance 1 / columns.
class RandomTensors {
 public:
  RandomTensors(const DecoderConfig& config, uint32_t seed) : c_(config), random_(seed) {}

  Tensors make() {
    matrix("model.embed_tokens", c_.vocabulary, c_.width);
    for (uint32_t l = 0; l < c_.layers; ++l) layer(l);
    vector("model.norm.weight", c_.width, 1);
    if (!c_.tied_embeddings) matrix("lm_head", c_.vocabulary, c_.width);
    return std::move(tensors_);
  }

 private:
  void layer(uint32_t l) {
    const std::string at = "model.layers." + std::to_string(l) + ".";
    const std::string attention = at + "self_attn.";
    vector(at + "input_layernorm.weight", c_.width, 1);
    matrix(attention + "q_proj", c_.heads * c_.head_size, c_.width, c_.qkv_bias);
    matrix(attention + "k_proj", c_.kv_heads * c_.head_size, c_.width, c_.qkv_bias);
    matrix(attention + "v_proj", c_.kv_heads * c_.head_size, c_.width, c_.qkv_bias);
    matrix(attention + "o_proj", c_.width, c_.heads * c_.head_size, c_.output_bias);
    if (c_.qk_norm) {
      vector(attention + "q_norm.weight", c_.head_size, 1);
      vector(attention + "k_norm.weight", c_.head_size, 1);
    }
    vector(at + "post_attention_layernorm.weight", c_.width, 1);
    if (!c_.has_experts(l)) return feed_forward(at + "mlp.", c_.feed_forward, false);
    const bool mixtral = c_.architecture == Architecture::kMixtral;
    const std::string block = at + (mixtral ? "block_sparse_moe." : "mlp.");
    matrix(block + "gate", c_.experts, c_.width);
    for (uint32_t e = 0; e < c_.experts; ++e) {
      feed_forward(block + "experts." + std::to_string(e) + ".", c_.expert_feed_forward, mixtral);
    }
    if (c_.shared_feed_forward == 0) return;
    feed_forward(block + "shared_expert.", c_.shared_feed_forward, false);
    matrix(block + "shared_expert_gate", 1, c_.width);
  }

  void feed_forward(const std::string& at, uint64_t size, bool mixtral) {
    matrix(at + (mixtral ? "w1" : "gate_proj"), size, c_.width, c_.mlp_bias);
    matrix(at + (mixtral ? "w3" : "up_proj"), size, c_.width, c_.mlp_bias);
    matrix(at + (mixtral ? "w2" : "down_proj"), c_.width, size, c_.mlp_bias);
  }

  void matrix(const std::string& name, uint64_t rows, uint64_t cols, bool bias = false) {
    Tensor t{{rows, cols}, std::vector<float>(rows * cols)};
    for (float& v : t.values) v = normal() / std::sqrt(static_cast<float>(cols)) * 1.5F;
    tensors_[name + ".weight"] = std::move(t);
    if (bias) vector(name + ".bias", rows, 0);
  }

  void vector(const std::string& name, uint64_t size, float middle) {
    Tensor t{{size}, std::vector<float>(size)};
    for (float& v : t.values) v = middle + 0.2F * normal();
    tensors_[name] = std::move(t);
  }

  float normal() { return std::normal_distribution<float>()(random_); }

  const DecoderConfig& c_;
  std::mt19937 random_;
  Tensors tensors_;
};

nlohmann::json scaling_json(const RopeScaling& s) {
  static constexpr const char* kNames[] = {"default", "linear",  "llama3",
                                           "yarn",    "dynamic", "longrope"};
  nlohmann::json j = {{"rope_type", kNames[static_cast<size_t>(s.kind)]},
                      {"factor", s.factor},
                      {"original_max_position_embeddings", s.original_context},
                      {"low_freq_factor", s.low_frequency},
                      {"high_freq_factor", s.high_frequency},
                      {"beta_fast", s.beta_fast},
                      {"beta_slow", s.beta_slow}};
  if (s.attention_factor) j["attention_factor"] = *s.attention_factor;
  if (!s.short_factors.empty()) j["short_factor"] = s.short_factors;
  if (!s.long_factors.empty()) j["long_factor"] = s.long_factors;
  return j;
}

}  // namespace

void write_file(const std::filesystem::path& path, ByteView bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<int64_t>(bytes.size()));
}

DecoderConfig small_config(Architecture architecture) {
  DecoderConfig c;
  c.architecture = architecture;
  c.vocabulary = 67;
  c.layers = 3;
  c.width = 44;
  c.heads = 6;
  c.kv_heads = 2;
  c.head_size = 20;
  c.feed_forward = 52;
  c.rope_size = 20;
  c.context = 96;
  c.qk_norm = architecture == Architecture::kQwen3 || architecture == Architecture::kQwen3Moe;
  c.qkv_bias = architecture == Architecture::kQwen2 || architecture == Architecture::kQwen2Moe;
  return c;
}

DecoderConfig small_experts(Architecture architecture) {
  DecoderConfig c = small_config(architecture);
  c.experts = 5;
  c.experts_per_token = 2;
  c.expert_feed_forward = architecture == Architecture::kMixtral ? c.feed_forward : 36;
  if (architecture == Architecture::kQwen2Moe) c.shared_feed_forward = 28;
  c.normalize_experts = architecture != Architecture::kQwen2Moe;
  return c;
}

Tensors random_tensors(const DecoderConfig& config, uint32_t seed) {
  return RandomTensors(config, seed).make();
}

Bytes stored(const std::vector<float>& values, DType type) {
  Bytes out;
  ByteWriter w(out);
  for (const float v : values) {
    if (type == DType::kF32) w.u32(std::bit_cast<uint32_t>(v));
    if (type == DType::kF16) w.u16(f16_from_float(v));
    if (type == DType::kBF16) w.u16(bf16_from_float(v));
  }
  return out;
}

MemoryWeights::MemoryWeights(DecoderConfig config, const Tensors& tensors, DType type)
    : config_(std::move(config)) {
  for (const auto& [name, tensor] : tensors) {
    const uint64_t cols = tensor.shape.back(), rows = tensor.values.size() / cols;
    Bytes bytes = stored(tensor.values, type);
    bytes_ += bytes.size();
    forms_[name] = form::from_tensor(type, {rows, cols}, Buffer(std::move(bytes)));
  }
}

nlohmann::json config_json(const DecoderConfig& c) {
  nlohmann::json j = {{"model_type", hf_name(c.architecture)},
                      {"vocab_size", c.vocabulary},
                      {"num_hidden_layers", c.layers},
                      {"hidden_size", c.width},
                      {"num_attention_heads", c.heads},
                      {"num_key_value_heads", c.kv_heads},
                      {"head_dim", c.head_size},
                      {"intermediate_size", c.feed_forward},
                      {"rms_norm_eps", c.norm_eps},
                      {"rope_theta", c.rope_base},
                      {"max_position_embeddings", c.context},
                      {"tie_word_embeddings", c.tied_embeddings},
                      {"hidden_act", "silu"},
                      {"attention_bias", c.output_bias},
                      {"mlp_bias", c.mlp_bias},
                      {"bos_token_id", 1},
                      {"eos_token_id", {2, 3}}};
  if (c.rope_scaling.kind != RopeScaling::Kind::kNone) {
    j["rope_scaling"] = scaling_json(c.rope_scaling);
  }
  if (!c.windows.empty()) j["sliding_window"] = c.windows.front();
  if (c.experts == 0) return j;
  const bool mixtral = c.architecture == Architecture::kMixtral;
  j[mixtral ? "num_local_experts" : "num_experts"] = c.experts;
  j["num_experts_per_tok"] = c.experts_per_token;
  j["moe_intermediate_size"] = c.expert_feed_forward;
  j["shared_expert_intermediate_size"] = c.shared_feed_forward;
  j["norm_topk_prob"] = c.normalize_experts;
  return j;
}

void write_safetensors(const std::filesystem::path& path, const Tensors& tensors, DType type) {
  std::vector<io::TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) infos.push_back({name, type, tensor.shape});
  Bytes file = io::safetensors_header(infos);
  for (const size_t k : io::safetensors_order(infos)) {
    const Bytes bytes = stored(tensors.at(infos[k].name).values, type);
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  write_file(path, file);
}

void write_hf(const std::filesystem::path& folder, const DecoderConfig& config,
              const Tensors& tensors, DType type, size_t shards) {
  write_file(folder / "config.json", as_bytes(config_json(config).dump()));
  if (shards == 1) return write_safetensors(folder / "model.safetensors", tensors, type);
  std::vector<Tensors> parts(shards);
  nlohmann::json map;
  size_t next = 0;
  const auto file = [&](size_t k) { return "model-" + std::to_string(k) + ".safetensors"; };
  for (const auto& [name, tensor] : tensors) {
    map[name] = file(next % shards);
    parts[next++ % shards][name] = tensor;
  }
  for (size_t k = 0; k < shards; ++k) write_safetensors(folder / file(k), parts[k], type);
  write_file(folder / "model.safetensors.index.json",
             as_bytes(nlohmann::json{{"weight_map", map}}.dump()));
}

io::GgufMetadata gguf_metadata(const DecoderConfig& c) {
  const std::string a(gguf_name(c.architecture));
  io::GgufMetadata m = {{"general.architecture", a},
                        {a + ".vocab_size", c.vocabulary},
                        {a + ".block_count", c.layers},
                        {a + ".embedding_length", c.width},
                        {a + ".attention.head_count", c.heads},
                        {a + ".attention.head_count_kv", c.kv_heads},
                        {a + ".attention.key_length", c.head_size},
                        {a + ".attention.value_length", c.head_size},
                        {a + ".attention.layer_norm_rms_epsilon", c.norm_eps},
                        {a + ".feed_forward_length", c.feed_forward},
                        {a + ".context_length", static_cast<uint32_t>(c.context)},
                        {a + ".rope.freq_base", static_cast<float>(c.rope_base)},
                        {a + ".rope.dimension_count", c.rope_size}};
  if (c.rope_scaling.kind == RopeScaling::Kind::kYarn) {
    m.emplace_back(a + ".rope.scaling.type", std::string("yarn"));
    m.emplace_back(a + ".rope.scaling.factor", static_cast<float>(c.rope_scaling.factor));
    m.emplace_back(a + ".rope.scaling.original_context_length",
                   static_cast<uint32_t>(c.rope_scaling.original_context));
  }
  if (c.experts == 0) return m;
  m.emplace_back(a + ".expert_count", c.experts);
  m.emplace_back(a + ".expert_used_count", c.experts_per_token);
  m.emplace_back(a + ".expert_feed_forward_length", c.expert_feed_forward);
  return m;
}

Tensors gguf_tensors(const DecoderConfig& c, const Tensors& tensors) {
  Tensors all;
  for (const auto& [name, tensor] : tensors) {
    const auto gguf = gguf_tensor_name(name);
    if (!gguf) continue;
    Tensor t = tensor;
    if (has_paired_rows_in_gguf(name, c.architecture)) {
      const uint64_t cols = t.shape.size() == 1 ? 1 : t.shape.back();
      for (uint64_t r = 0; r < t.shape.front(); ++r) {
        std::memcpy(t.values.data() + paired_row(r, c.head_size) * cols,
                    tensor.values.data() + r * cols, cols * sizeof(float));
      }
    }
    if (!gguf->expert) {
      all[gguf->name] = std::move(t);
      continue;
    }
    Tensor& stack = all[gguf->name];
    stack.shape = {c.experts, t.shape[0], t.shape[1]};
    stack.values.resize(c.experts * t.values.size());
    std::ranges::copy(t.values,
                      stack.values.begin() + static_cast<int64_t>(*gguf->expert * t.values.size()));
  }
  return all;
}

void write_gguf(const std::filesystem::path& path, const io::GgufMetadata& metadata,
                const Tensors& tensors, DType type) {
  std::vector<io::TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) {
    infos.push_back({name, tensor.shape.size() == 1 ? DType::kF32 : type, tensor.shape});
  }
  Bytes file = io::gguf_header(metadata, infos);
  for (const io::TensorInfo& info : infos) {
    const Bytes bytes = stored(tensors.at(info.name).values, info.dtype);
    file.insert(file.end(), bytes.begin(), bytes.end());
    file.resize((file.size() + 31) / 32 * 32);
  }
  write_file(path, file);
}

std::vector<float> logits_of(const LanguageModel& model) {
  std::vector<int32_t> ids(model.config().vocabulary);
  std::iota(ids.begin(), ids.end(), 0);
  Session session(model, ids.size());
  const form::MatrixView m = session.feed(ids, Logits::kAll);
  return {m.data, m.data + m.shape.size()};
}

double farthest(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double{a[i]} - b[i]));
  return worst;
}

}  // namespace pith::model::testing
