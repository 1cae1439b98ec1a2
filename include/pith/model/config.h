// What a decoder of the Llama family is, apart from its weights.
//
// Read from Hugging Face's config.json or from the metadata of a GGUF file. Everything is checked:
// a config that was read can be computed with. Errors are ErrorKind::kData and name the key.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/io/gguf_metadata.h"

namespace pith::model {

enum class Architecture : uint8_t {
  kLlama,
  kMistral,  // Llama with a sliding window
  kMixtral,  // Mistral with experts
  kDeci,     // Llama whose layers differ (Puzzle, arXiv 2411.19146)
  kQwen2,    // biases on q, k and v
  kQwen3,    // norms of the heads of q and k
  kQwen2Moe,
  kQwen3Moe,
};

// Which elements of a head are rotated together. The weights of q and k have their rows in this
// order.
enum class RopeLayout : uint8_t {
  kHalves,  // i and i + size / 2, as in Hugging Face's files
  kPairs,   // 2 i and 2 i + 1, as in GGUF files of the llama architecture
};

// How the rotations reach past the context that the model was first trained with.
struct RopeScaling {
  enum class Kind : uint8_t {
    kNone,
    kLinear,    // positions / factor (position interpolation)
    kLlama3,    // low frequencies / factor, high ones as they are, between them interpolated
    kYarn,      // the same by numbers of turns, and longer queries (YaRN, arXiv 2309.00071)
    kDynamic,   // a base that grows with the length (dynamic NTK)
    kLongRope,  // a factor for each frequency, one set for short, one for long (arXiv 2402.13753)
  };
  Kind kind = Kind::kNone;
  double factor = 1;
  // The context of the first training; 0: that of the model.
  uint64_t original_context = 0;
  double low_frequency = 1, high_frequency = 4;     // Llama 3
  double beta_fast = 32, beta_slow = 1;             // YaRN
  double mscale = 0, mscale_all = 0;                // YaRN of DeepSeek; 0: not given
  bool truncate = true;                             // YaRN: bounds are whole numbers
  std::optional<double> attention_factor;           // of queries and keys; else by the kind
  std::vector<double> short_factors, long_factors;  // LongRoPE, rope_size / 2 each
  // Divides the frequencies after all else, rope_size / 2 of them or none: how GGUF files hold what
  // Llama 3 does (the tensor rope_freqs).
  std::vector<double> divisors;
};

// What one layer has where layers differ; 0 of heads: no attention, 0 of feed_forward: no such
// part.
struct LayerSizes {
  uint32_t heads = 0, kv_heads = 0, feed_forward = 0;
  bool operator==(const LayerSizes&) const = default;
};

// Which of the experts that a token chose it does without, in one layer. Routers are seldom in
// doubt, and few tokens matter to those after them (MC-MoE, Huang et al. 2025).
struct ExpertThresholds {
  // Experts whose weight is below this share of the heaviest's are left out; 0: none.
  float ratio = 0;
  // Tokens of at least this importance keep all: the weight that their own position has in
  // attention, on the mean of the layer's heads, times the sum of the absolute values of the
  // stream that enters the norm of the feed-forward part.
  float importance = std::numeric_limits<float>::infinity();
  bool operator==(const ExpertThresholds&) const = default;
};

struct DecoderConfig {
  Architecture architecture = Architecture::kLlama;
  std::string name;  // of the model, may be empty

  uint32_t vocabulary = 0;
  uint32_t layers = 0;
  uint32_t width = 0;         // of the residual stream
  uint32_t heads = 0;         // of queries
  uint32_t kv_heads = 0;      // divides heads
  uint32_t head_size = 0;     // of queries, keys and values
  uint32_t feed_forward = 0;  // of dense layers
  // Of each layer where they differ, none of them above the three sizes above; empty: all have
  // these. Layers of experts have them or, with 0, nothing.
  std::vector<LayerSizes> layer_sizes;
  float norm_eps = 1e-5F;
  bool tied_embeddings = false;  // the head is the embedding
  // Expected biases; files may have more of them, which are used.
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool qk_norm = false;  // RMS norm of each head of q and k

  RopeLayout rope_layout = RopeLayout::kHalves;
  uint32_t rope_size = 0;  // the first elements of a head, which are rotated; even
  double rope_base = 10000;
  RopeScaling rope_scaling;
  uint64_t context = 0;  // positions that the model is made for

  // Of each layer: how many positions a query sees, itself included; 0: all. Empty: all in every
  // layer.
  std::vector<uint32_t> windows;

  uint32_t experts = 0;            // 0: every layer is dense
  uint32_t experts_per_token = 0;  // 1 … experts
  uint32_t expert_feed_forward = 0;
  uint32_t shared_feed_forward = 0;  // of the expert that every token visits; 0: none
  bool normalize_experts = true;     // weights of the chosen ones are made to add up to 1
  double expert_scale = 1;           // multiplies these weights
  std::vector<bool> dense_layers;    // layers without experts; empty: all have them
  std::vector<ExpertThresholds> expert_thresholds;  // of each layer; empty: no expert is left out

  std::optional<int32_t> bos;
  std::vector<int32_t> eos;  // any of these ends a text

  LayerSizes sizes(uint32_t layer) const {
    return layer_sizes.empty() ? LayerSizes{heads, kv_heads, feed_forward} : layer_sizes[layer];
  }
  bool has_attention(uint32_t layer) const { return sizes(layer).heads != 0; }
  // Dense or of experts.
  bool has_feed_forward(uint32_t layer) const {
    return layer_sizes.empty() || layer_sizes[layer].feed_forward != 0;
  }
  uint32_t window(uint32_t layer) const { return windows.empty() ? 0 : windows[layer]; }
  ExpertThresholds thresholds(uint32_t layer) const {
    return expert_thresholds.empty() ? ExpertThresholds() : expert_thresholds[layer];
  }
  bool has_experts(uint32_t layer) const {
    return experts != 0 && has_feed_forward(layer) &&
           (dense_layers.empty() || !dense_layers[layer]);
  }
};

// "llama", "mistral", "mixtral", "nemotron-nas", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe":
// model_type of config.json.
std::string_view hf_name(Architecture architecture);
// "llama" (also of Mistral and Mixtral), "deci", "qwen2", "qwen3", "qwen2moe", "qwen3moe":
// general.architecture.
std::string_view gguf_name(Architecture architecture);

// Of a config.json. Its block_configs, of any architecture, say what each layer has: attention by
// no_op, n_heads_in_group or num_key_value_heads, and num_attention_heads where these are fewer
// than the model's, which no published model has; ffn by no_op, ffn_mult or intermediate_size. Its
// expert_thresholds {"ratio": [0.3, …], "importance": [12.5, null, …]}, a number for each layer,
// are an addition of Pith: other programs visit all experts. generation_config.json may name
// further ids of eos; empty: there is none.
DecoderConfig config_from_json(ByteView config, ByteView generation_config = {});

// Of a GGUF file. What only its tensors tell (biases, tied embeddings, rope divisors, the
// vocabulary where no key has it) is left at its default, 0 for the vocabulary.
DecoderConfig config_from_gguf(const io::GgufMetadata& metadata);

// Throws ErrorKind::kData for what cannot be computed with: sizes of 0 or past any model that
// exists, heads that cannot be shared, lists of the wrong length.
void check(const DecoderConfig& config);

}  // namespace pith::model
