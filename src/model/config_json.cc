// config.json of Hugging Face's folders.
#include <algorithm>
#include <cmath>

#include "architectures.h"
#include "pith/base/error.h"
#include "pith/io/json.h"
#include "pith/io/text.h"
#include "pith/model/config.h"

namespace pith::model {
namespace {

using io::Json;

const Json* member(const Json& object, std::string_view name) {
  const Json* found = object.find(name);
  return found && !std::holds_alternative<std::nullptr_t>(found->value) ? found : nullptr;
}

uint64_t as_integer(const Json& value, std::string_view name, uint64_t most) {
  const uint64_t* number = value.number();
  if (!number || *number > most) {
    fail(ErrorKind::kData, "{} is not an integer from 0 to {}", name, most);
  }
  return *number;
}

uint64_t integer(const Json& object, std::string_view name, std::optional<uint64_t> otherwise,
                 uint64_t most = UINT32_MAX) {
  const Json* found = member(object, name);
  if (found) return as_integer(*found, name, most);
  if (!otherwise) fail(ErrorKind::kData, "there is no {}", name);
  return *otherwise;
}

uint32_t size(const Json& object, std::string_view name, std::optional<uint64_t> otherwise = {}) {
  return static_cast<uint32_t>(integer(object, name, otherwise));
}

double real(const Json& value, std::string_view name) {
  if (const uint64_t* number = value.number()) return static_cast<double>(*number);
  const double* number = std::get_if<double>(&value.value);
  if (!number) fail(ErrorKind::kData, "{} is not a number", name);
  return *number;
}

double real(const Json& object, std::string_view name, double otherwise) {
  const Json* found = member(object, name);
  return found ? real(*found, name) : otherwise;
}

bool flag(const Json& object, std::string_view name, bool otherwise) {
  const Json* found = member(object, name);
  if (!found) return otherwise;
  const bool* value = std::get_if<bool>(&found->value);
  if (!value) fail(ErrorKind::kData, "{} is neither true nor false", name);
  return *value;
}

std::string text(const Json& object, std::string_view name) {
  const Json* found = member(object, name);
  return found && found->text() ? *found->text() : std::string();
}

Architecture architecture(const Json& config) {
  const std::string type = text(config, "model_type");
  const Json* classes = member(config, "architectures");
  std::string class_name;
  if (classes && classes->array() && !classes->array()->empty()) {
    const std::string* first = classes->array()->front().text();
    if (first) class_name = *first;
  }
  for (const ArchitectureNames& a : architectures()) {
    if (type.empty() ? class_name == a.class_name : type == a.hf) {
      // Classifiers and embedding models share the type, and have no head.
      if (class_name.empty() || class_name.ends_with("ForCausalLM")) return a.architecture;
      fail(ErrorKind::kData, "{} is no language model; lossless compression still works",
           io::in_quotes(class_name));
    }
  }
  fail(ErrorKind::kData, "architecture {} is not one of {}; lossless compression still works",
       io::in_quotes(type.empty() ? class_name : type), architecture_list(&ArchitectureNames::hf));
}

std::vector<double> factors(const Json& scaling, std::string_view name) {
  std::vector<double> all;
  const Json* found = member(scaling, name);
  if (!found) return all;
  if (!found->array()) fail(ErrorKind::kData, "{} is not a list", name);
  for (const Json& item : *found->array()) all.push_back(real(item, name));
  return all;
}

RopeScaling::Kind scaling_kind(const std::string& name) {
  using Kind = RopeScaling::Kind;
  if (name.empty() || name == "default") return Kind::kNone;
  if (name == "linear") return Kind::kLinear;
  if (name == "llama3") return Kind::kLlama3;
  if (name == "yarn") return Kind::kYarn;
  if (name == "dynamic") return Kind::kDynamic;
  if (name == "longrope" || name == "su") return Kind::kLongRope;
  fail(ErrorKind::kData, "RoPE scaling {} is not one of linear, llama3, yarn, dynamic, longrope",
       io::in_quotes(name));
}

void take_scaling(const Json& scaling, DecoderConfig& c) {
  if (!scaling.object()) fail(ErrorKind::kData, "rope_scaling is not an object");
  RopeScaling& s = c.rope_scaling;
  const std::string name = text(scaling, "rope_type");
  s.kind = scaling_kind(name.empty() ? text(scaling, "type") : name);
  const bool by_factor =
      s.kind != RopeScaling::Kind::kNone && s.kind != RopeScaling::Kind::kLongRope;
  if (by_factor && !member(scaling, "factor")) {
    fail(ErrorKind::kData, "rope_scaling has no factor");
  }
  s.factor = real(scaling, "factor", 1);
  s.original_context = integer(scaling, "original_max_position_embeddings", 0, uint64_t{1} << 40);
  s.low_frequency = real(scaling, "low_freq_factor", 1);
  s.high_frequency = real(scaling, "high_freq_factor", 4);
  s.beta_fast = real(scaling, "beta_fast", 32);
  s.beta_slow = real(scaling, "beta_slow", 1);
  s.mscale = real(scaling, "mscale", 0);
  s.mscale_all = real(scaling, "mscale_all_dim", 0);
  s.truncate = flag(scaling, "truncate", true);
  if (const Json* factor = member(scaling, "attention_factor")) {
    s.attention_factor = real(*factor, "attention_factor");
  }
  s.short_factors = factors(scaling, "short_factor");
  s.long_factors = factors(scaling, "long_factor");
}

// Older files write the base beside the scaling, newer ones both as "rope_parameters".
void take_rope(const Json& config, DecoderConfig& c) {
  c.rope_base = real(config, "rope_theta", 10000);
  double part = real(config, "partial_rotary_factor", 1);
  const Json* scaling = member(config, "rope_parameters");
  if (!scaling) scaling = member(config, "rope_scaling");
  if (scaling) {
    take_scaling(*scaling, c);
    c.rope_base = real(*scaling, "rope_theta", c.rope_base);
    part = real(*scaling, "partial_rotary_factor", part);
  }
  if (!(part > 0 && part <= 1)) fail(ErrorKind::kData, "partial_rotary_factor is {}", part);
  c.rope_size = static_cast<uint32_t>(c.head_size * part);
  // Models that were trained further than once say so outside of the scaling.
  if (c.rope_scaling.original_context == 0) {
    c.rope_scaling.original_context =
        integer(config, "original_max_position_embeddings", 0, uint64_t{1} << 40);
  }
}

void take_windows(const Json& config, DecoderConfig& c) {
  const bool qwen = c.architecture >= Architecture::kQwen2;
  const uint32_t window = size(config, "sliding_window", 0);
  if (window == 0 || c.architecture == Architecture::kLlama ||
      !flag(config, "use_sliding_window", !qwen)) {
    return;
  }
  const uint64_t first = qwen ? integer(config, "max_window_layers", 28) : 0;
  const Json* types = member(config, "layer_types");
  if (types && (!types->array() || types->array()->size() != c.layers)) {
    fail(ErrorKind::kData, "layer_types is not a list of {} entries", c.layers);
  }
  c.windows.assign(c.layers, 0);
  for (uint32_t l = 0; l < c.layers; ++l) {
    const std::string* type = types ? (*types->array())[l].text() : nullptr;
    const bool slides = types ? type && *type == "sliding_attention" : l >= first;
    if (slides) c.windows[l] = window;
  }
}

void take_mixtral(const Json& config, DecoderConfig& c) {
  c.experts = size(config, "num_local_experts", 8);
  c.experts_per_token = size(config, "num_experts_per_tok", 2);
  c.expert_feed_forward = c.feed_forward;
}

void take_qwen_experts(const Json& config, DecoderConfig& c) {
  const bool qwen2 = c.architecture == Architecture::kQwen2Moe;
  c.experts = size(config, "num_experts");
  c.experts_per_token = size(config, "num_experts_per_tok");
  c.expert_feed_forward = size(config, "moe_intermediate_size");
  c.shared_feed_forward = qwen2 ? size(config, "shared_expert_intermediate_size") : 0;
  c.normalize_experts = flag(config, "norm_topk_prob", false);
  const uint64_t step = integer(config, "decoder_sparse_step", 1);
  const Json* dense = member(config, "mlp_only_layers");
  c.dense_layers.assign(c.layers, false);
  for (uint32_t l = 0; l < c.layers; ++l) c.dense_layers[l] = step == 0 || (l + 1) % step != 0;
  if (!dense) return;
  for (const uint64_t layer : io::numbers(dense, "mlp_only_layers")) {
    if (layer < c.layers) c.dense_layers[layer] = true;
  }
}

// Of each layer a number, or null for none.
void take_thresholds(const Json& config, DecoderConfig& c) {
  const Json* found = member(config, "expert_thresholds");
  if (!found) return;
  if (!found->object()) fail(ErrorKind::kData, "expert_thresholds is not an object");
  const auto take = [&](std::string_view name, float ExpertThresholds::*field) {
    const Json* list = member(*found, name);
    if (!list) return;
    if (!list->array() || list->array()->size() != c.layers) {
      fail(ErrorKind::kData, "expert_thresholds: {} is not a list of {} numbers", name, c.layers);
    }
    for (uint32_t l = 0; l < c.layers; ++l) {
      const Json& value = (*list->array())[l];
      if (std::holds_alternative<std::nullptr_t>(value.value)) continue;
      c.expert_thresholds[l].*field = static_cast<float>(real(value, name));
    }
  };
  c.expert_thresholds.resize(c.layers);
  take("ratio", &ExpertThresholds::ratio);
  take("importance", &ExpertThresholds::importance);
}

void take_ids(const Json& root, DecoderConfig& c) {
  const auto id = [](const Json& value, std::string_view name) {
    return static_cast<int32_t>(as_integer(value, name, INT32_MAX));
  };
  if (const Json* bos = member(root, "bos_token_id"); bos && bos->number()) {
    c.bos = id(*bos, "bos_token_id");
  }
  const Json* eos = member(root, "eos_token_id");
  if (!eos) return;
  const auto add = [&](int32_t end) {
    if (std::ranges::find(c.eos, end) == c.eos.end()) c.eos.push_back(end);
  };
  if (!eos->array()) return add(id(*eos, "eos_token_id"));
  for (const Json& item : *eos->array()) add(id(item, "eos_token_id"));
}

void take_sizes(const Json& config, DecoderConfig& c) {
  c.name = text(config, "_name_or_path");
  c.vocabulary = size(config, "vocab_size");
  c.layers = size(config, "num_hidden_layers");
  if (c.layers > 10'000) fail(ErrorKind::kData, "num_hidden_layers is {}", c.layers);
  c.width = size(config, "hidden_size");
  c.heads = size(config, "num_attention_heads");
  c.kv_heads = size(config, "num_key_value_heads", c.heads);
  if (c.heads == 0) fail(ErrorKind::kData, "num_attention_heads is 0");
  c.head_size = size(config, "head_dim", c.width / c.heads);
  // What differs between layers stands with these alone.
  const std::optional<uint64_t> differs =
      member(config, "block_configs") ? std::optional<uint64_t>(0) : std::nullopt;
  c.feed_forward = size(config, "intermediate_size", differs);
  c.norm_eps = static_cast<float>(real(config, "rms_norm_eps", 1e-6));
  c.context = integer(config, "max_position_embeddings", 2048, uint64_t{1} << 40);
  c.tied_embeddings = flag(config, "tie_word_embeddings", false);
}

const Json& part(const Json& block, std::string_view name) {
  const Json* found = member(block, name);
  if (!found || !found->object()) fail(ErrorKind::kData, "block_configs: there is no {}", name);
  return *found;
}

// What takes the place of attention in some published layers does not run.
void refuse_variants(const Json& attention) {
  if (flag(attention, "replace_with_linear", false)) {
    fail(ErrorKind::kData, "block_configs: replace_with_linear does not run");
  }
  for (const char* name : {"window_length", "num_sink_tokens"}) {
    if (member(attention, name)) fail(ErrorKind::kData, "block_configs: {} does not run", name);
  }
}

void take_attention(const Json& attention, const DecoderConfig& c, LayerSizes& sizes) {
  refuse_variants(attention);
  if (flag(attention, "no_op", false)) return;
  sizes.heads = size(attention, "num_attention_heads", c.heads);
  if (member(attention, "num_key_value_heads")) {
    sizes.kv_heads = size(attention, "num_key_value_heads");
    return;
  }
  const uint32_t group = size(attention, "n_heads_in_group");
  if (group == 0 || sizes.heads % group != 0) {
    fail(ErrorKind::kData, "block_configs: {} heads in groups of {}", sizes.heads, group);
  }
  sizes.kv_heads = sizes.heads / group;
}

// Deci's rule: a multiple of 256.
uint32_t size_of_multiplier(double multiplier, uint32_t width) {
  const double size = std::floor(2 * multiplier * width / 3);
  if (!(size > 0 && size < 1e9)) fail(ErrorKind::kData, "ffn_mult is {}", multiplier);
  return (static_cast<uint32_t>(size) + 255) / 256 * 256;
}

void take_feed_forward(const Json& ffn, const DecoderConfig& c, LayerSizes& sizes) {
  if (flag(ffn, "replace_with_linear", false)) {
    fail(ErrorKind::kData, "block_configs: replace_with_linear does not run");
  }
  if (flag(ffn, "no_op", false)) return;
  const Json* multiplier = member(ffn, "ffn_mult");
  if (member(ffn, "intermediate_size") || !multiplier) {
    sizes.feed_forward = size(ffn, "intermediate_size");
  } else {
    sizes.feed_forward = size_of_multiplier(real(*multiplier, "ffn_mult"), c.width);
  }
}

// The model's sizes become those of its largest layers.
void take_blocks(const Json& config, DecoderConfig& c) {
  const Json* blocks = member(config, "block_configs");
  if (!blocks) {
    if (c.architecture != Architecture::kDeci) return;
    fail(ErrorKind::kData, "there is no block_configs");
  }
  if (!blocks->array() || blocks->array()->size() != c.layers) {
    fail(ErrorKind::kData, "block_configs is not a list of {} entries", c.layers);
  }
  LayerSizes most;
  for (const Json& block : *blocks->array()) {
    if (!block.object()) fail(ErrorKind::kData, "block_configs holds what is no object");
    LayerSizes& sizes = c.layer_sizes.emplace_back();
    take_attention(part(block, "attention"), c, sizes);
    take_feed_forward(part(block, "ffn"), c, sizes);
    most = {std::max(most.heads, sizes.heads), std::max(most.kv_heads, sizes.kv_heads),
            std::max(most.feed_forward, sizes.feed_forward)};
  }
  c.heads = std::max(most.heads, c.heads);
  c.kv_heads = std::max(most.kv_heads, 1U);
  c.feed_forward = std::max(most.feed_forward, 1U);
  if (c.heads % c.kv_heads != 0) c.kv_heads = c.heads;
}

DecoderConfig read(const Json& config) {
  DecoderConfig c;
  c.architecture = architecture(config);
  const Architecture a = c.architecture;
  const bool qwen2 = a == Architecture::kQwen2 || a == Architecture::kQwen2Moe;
  c.qk_norm = a == Architecture::kQwen3 || a == Architecture::kQwen3Moe;
  take_sizes(config, c);
  const std::string activation = text(config, "hidden_act");
  if (!activation.empty() && activation != "silu" && activation != "swish") {
    fail(ErrorKind::kData, "hidden_act {} is not silu", io::in_quotes(activation));
  }
  const bool bias = flag(config, "attention_bias", false);
  c.qkv_bias = bias || (qwen2 && flag(config, "qkv_bias", true));
  c.output_bias = bias && !qwen2;
  c.mlp_bias = flag(config, "mlp_bias", false);
  take_blocks(config, c);
  take_rope(config, c);
  take_windows(config, c);
  if (a == Architecture::kMixtral) take_mixtral(config, c);
  if (a == Architecture::kQwen2Moe || a == Architecture::kQwen3Moe) take_qwen_experts(config, c);
  take_thresholds(config, c);
  take_ids(config, c);
  return c;
}

}  // namespace

DecoderConfig config_from_json(ByteView config, ByteView generation_config) {
  const Json root = io::parse_json(config, "config.json");
  try {
    if (!root.object()) fail(ErrorKind::kData, "it is not an object");
    DecoderConfig c = read(root);
    check(c);
    if (!generation_config.empty()) {
      take_ids(io::parse_json(generation_config, "generation_config.json"), c);
    }
    return c;
  } catch (const Error& error) {
    throw error.in("config.json");
  }
}

}  // namespace pith::model
