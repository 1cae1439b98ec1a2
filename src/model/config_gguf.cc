// The keys of GGUF files that say what the model is.
#include <algorithm>
#include <cmath>

#include "architectures.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/config.h"

namespace pith::model {
namespace {

using io::GgufMetadata;
using io::GgufValue;

// The keys of one architecture: "llama.block_count".
class Keys {
 public:
  Keys(const GgufMetadata& metadata, std::string prefix)
      : metadata_(metadata), prefix_(std::move(prefix)) {}

  const GgufValue* find(std::string_view name) const {
    return io::find(metadata_, prefix_ + "." + std::string(name));
  }

  uint64_t integer(std::string_view name, std::optional<uint64_t> otherwise = {},
                   uint64_t most = UINT32_MAX) const {
    const GgufValue* found = find(name);
    if (!found && otherwise) return *otherwise;
    if (!found) fail(ErrorKind::kData, "there is no {}.{}", prefix_, name);
    const auto value = integer_of(*found);
    if (!value || *value > most) {
      fail(ErrorKind::kData, "{}.{} is not an integer from 0 to {}", prefix_, name, most);
    }
    return *value;
  }

  uint32_t size(std::string_view name, std::optional<uint64_t> otherwise = {}) const {
    return static_cast<uint32_t>(integer(name, otherwise));
  }

  double real(std::string_view name, std::optional<double> otherwise) const {
    const GgufValue* found = find(name);
    if (!found && otherwise) return *otherwise;
    if (!found) fail(ErrorKind::kData, "there is no {}.{}", prefix_, name);
    if (const auto* f = std::get_if<float>(found)) return *f;
    if (const auto* f = std::get_if<double>(found)) return *f;
    fail(ErrorKind::kData, "{}.{} is not a number", prefix_, name);
  }

  bool flag(std::string_view name, bool otherwise) const {
    const GgufValue* found = find(name);
    const bool* value = found ? std::get_if<bool>(found) : nullptr;
    return value ? *value : otherwise;
  }

  std::string text(std::string_view name) const {
    const GgufValue* found = find(name);
    const auto* value = found ? std::get_if<std::string>(found) : nullptr;
    return value ? *value : std::string();
  }

  // A number that is the same in every layer, which some files write once for each.
  uint32_t same_in_all(std::string_view name, std::optional<uint64_t> otherwise = {}) const {
    const GgufValue* found = find(name);
    const auto one = [&]<class T>(const std::vector<T>* list) -> std::optional<uint32_t> {
      if (!list || list->empty()) return std::nullopt;
      for (const T v : *list) {
        if (v != list->front() || v < T{0}) {
          fail(ErrorKind::kData, "{}.{} differs between layers, which does not run", prefix_, name);
        }
      }
      return static_cast<uint32_t>(list->front());
    };
    if (found) {
      if (const auto v = one(std::get_if<std::vector<uint32_t>>(found))) return *v;
      if (const auto v = one(std::get_if<std::vector<int32_t>>(found))) return *v;
    }
    return size(name, otherwise);
  }

  // A number for each layer, or one for all.
  std::vector<uint32_t> of_layers(std::string_view name, uint32_t layers) const {
    const GgufValue* found = find(name);
    std::vector<uint32_t> all;
    const auto take = [&]<class T>(const std::vector<T>& list) {
      for (const T v : list) {
        if (v < T{0}) fail(ErrorKind::kData, "{}.{} holds {}", prefix_, name, v);
        all.push_back(static_cast<uint32_t>(v));
      }
    };
    if (const auto* list = found ? std::get_if<std::vector<uint32_t>>(found) : nullptr) take(*list);
    if (const auto* list = found ? std::get_if<std::vector<int32_t>>(found) : nullptr) take(*list);
    if (all.empty()) all.assign(layers, size(name));
    if (all.size() != layers) {
      fail(ErrorKind::kData, "{}.{} has {} entries for {} layers", prefix_, name, all.size(),
           layers);
    }
    return all;
  }

 private:
  static std::optional<uint64_t> integer_of(const GgufValue& value) {
    return std::visit(
        []<class T>(const T& v) -> std::optional<uint64_t> {
          if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
            if (v >= T{0}) return static_cast<uint64_t>(v);
          }
          return std::nullopt;
        },
        value);
  }

  const GgufMetadata& metadata_;
  std::string prefix_;
};

Architecture architecture(const std::string& name) {
  for (const ArchitectureNames& a : architectures()) {
    if (name == a.gguf) return a.architecture;
  }
  fail(ErrorKind::kData, "architecture {} is not one of {}; lossless compression still works",
       io::in_quotes(name), architecture_list(&ArchitectureNames::gguf));
}

void take_rope(const Keys& keys, DecoderConfig& c) {
  RopeScaling& s = c.rope_scaling;
  c.rope_size = keys.size("rope.dimension_count", c.head_size);
  c.rope_base = keys.real("rope.freq_base", 10000);
  const std::string kind = keys.text("rope.scaling.type");
  s.factor = keys.real("rope.scaling.factor", keys.real("rope.scale_linear", 1));
  s.original_context = keys.integer("rope.scaling.original_context_length", 0, uint64_t{1} << 40);
  if (kind == "linear" || (kind.empty() && s.factor != 1)) {
    s.kind = RopeScaling::Kind::kLinear;
  } else if (kind == "yarn") {
    s.kind = RopeScaling::Kind::kYarn;
    s.beta_fast = keys.real("rope.scaling.yarn_beta_fast", 32);
    s.beta_slow = keys.real("rope.scaling.yarn_beta_slow", 1);
    if (keys.find("rope.scaling.attn_factor")) {
      s.attention_factor =
          keys.real("rope.scaling.attn_factor", 1) * (1 + 0.1 * std::log(s.factor));
    }
  } else if (!kind.empty() && kind != "none") {
    fail(ErrorKind::kData, "RoPE scaling {} is not one of none, linear, yarn", io::in_quotes(kind));
  }
}

void take_experts(const Keys& keys, DecoderConfig& c) {
  c.experts = keys.size("expert_count", 0);
  if (c.experts == 0) return;
  if (c.architecture == Architecture::kLlama) c.architecture = Architecture::kMixtral;
  c.experts_per_token = keys.size("expert_used_count");
  const bool mixtral = c.architecture == Architecture::kMixtral;
  c.expert_feed_forward = mixtral ? keys.size("expert_feed_forward_length", c.feed_forward)
                                  : keys.size("expert_feed_forward_length");
  c.shared_feed_forward = keys.size("expert_shared_feed_forward_length", 0);
  c.normalize_experts = c.architecture != Architecture::kQwen2Moe;
  c.expert_scale = keys.real("expert_weights_scale", 1);
  if (c.expert_scale == 0) c.expert_scale = 1;
}

void take_ids(const GgufMetadata& metadata, DecoderConfig& c) {
  const auto id = [&](const char* name) -> std::optional<int32_t> {
    const auto* found = io::find_as<uint32_t>(metadata, name);
    if (!found || *found > INT32_MAX) return std::nullopt;
    return static_cast<int32_t>(*found);
  };
  c.bos = id("tokenizer.ggml.bos_token_id");
  for (const char* name : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const auto end = id(name);
    if (end && (c.eos.empty() || c.eos.front() != *end)) c.eos.push_back(*end);
  }
}

uint32_t vocabulary(const Keys& keys, const GgufMetadata& metadata) {
  if (keys.find("vocab_size")) return keys.size("vocab_size");
  const auto* tokens = io::find_as<std::vector<std::string>>(metadata, "tokenizer.ggml.tokens");
  return tokens ? static_cast<uint32_t>(std::min<size_t>(tokens->size(), UINT32_MAX)) : 0;
}

// Of files whose layers may differ: 0 heads where there is no attention, 0 of feed-forward.
void take_layer_sizes(const Keys& keys, DecoderConfig& c) {
  if (c.layers > 10'000) fail(ErrorKind::kData, "block_count is {}", c.layers);
  const auto heads = keys.of_layers("attention.head_count", c.layers);
  const auto kv_heads = keys.of_layers("attention.head_count_kv", c.layers);
  const auto feed_forward = keys.of_layers("feed_forward_length", c.layers);
  for (uint32_t l = 0; l < c.layers; ++l) {
    c.layer_sizes.push_back({heads[l], heads[l] == 0 ? 0 : kv_heads[l], feed_forward[l]});
    c.heads = std::max(c.heads, heads[l]);
    c.kv_heads = std::max(c.kv_heads, c.layer_sizes.back().kv_heads);
    c.feed_forward = std::max(c.feed_forward, feed_forward[l]);
  }
  c.kv_heads = std::max(c.kv_heads, 1U);
  if (c.heads % c.kv_heads != 0) c.kv_heads = c.heads;
}

DecoderConfig read(const GgufMetadata& metadata) {
  const auto* name = io::find_as<std::string>(metadata, "general.architecture");
  if (!name) fail(ErrorKind::kData, "there is no general.architecture");
  DecoderConfig c;
  c.architecture = architecture(*name);
  const Keys keys(metadata, *name);
  if (const auto* title = io::find_as<std::string>(metadata, "general.name")) c.name = *title;
  c.vocabulary = vocabulary(keys, metadata);
  c.layers = keys.size("block_count");
  c.width = keys.size("embedding_length");
  const bool differ = c.architecture == Architecture::kDeci;
  if (differ) {
    take_layer_sizes(keys, c);
  } else {
    c.heads = keys.same_in_all("attention.head_count");
    c.kv_heads = keys.same_in_all("attention.head_count_kv", c.heads);
    c.feed_forward = keys.find("feed_forward_length") ? keys.same_in_all("feed_forward_length") : 0;
  }
  if (c.heads == 0) fail(ErrorKind::kData, "{}.attention.head_count is 0", *name);
  c.head_size = keys.size("attention.key_length", c.width / c.heads);
  if (keys.size("attention.value_length", c.head_size) != c.head_size) {
    fail(ErrorKind::kData, "keys and values have different sizes, which does not run");
  }
  c.norm_eps = static_cast<float>(keys.real("attention.layer_norm_rms_epsilon", {}));
  c.context = keys.integer("context_length", 2048, uint64_t{1} << 40);
  c.qk_norm = c.architecture == Architecture::kQwen3 || c.architecture == Architecture::kQwen3Moe;
  take_rope(keys, c);
  take_experts(keys, c);
  const bool qwen = c.architecture >= Architecture::kQwen2;
  c.rope_layout = qwen ? RopeLayout::kHalves : RopeLayout::kPairs;
  if (c.layers > 10'000) fail(ErrorKind::kData, "{}.block_count is {}", *name, c.layers);
  if (const uint32_t window = keys.size("attention.sliding_window", 0); window && !qwen) {
    c.windows.assign(c.layers, window);
  }
  take_ids(metadata, c);
  return c;
}

}  // namespace

DecoderConfig config_from_gguf(const GgufMetadata& metadata) {
  try {
    return read(metadata);
  } catch (const Error& error) {
    throw error.in("gguf");
  }
}

}  // namespace pith::model
