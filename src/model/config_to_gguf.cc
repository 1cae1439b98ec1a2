// The reverse of config_gguf.cc.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "pith/base/error.h"
#include "pith/model/export_gguf.h"

namespace pith::model {
namespace {

using io::GgufMetadata;
using Kind = RopeScaling::Kind;

class Keys {
 public:
  explicit Keys(std::string_view architecture) : prefix_(std::string(architecture) + ".") {
    metadata_.emplace_back("general.architecture", std::string(architecture));
  }
  void general(const char* name, io::GgufValue value) {
    metadata_.emplace_back(std::string("general.") + name, std::move(value));
  }
  void size(const char* name, uint64_t value) {
    if (value > UINT32_MAX)
      fail(ErrorKind::kUsage, "GGUF cannot hold {}{} = {}", prefix_, name, value);
    metadata_.emplace_back(prefix_ + name, static_cast<uint32_t>(value));
  }
  void real(const char* name, double value) {
    metadata_.emplace_back(prefix_ + name, static_cast<float>(value));
  }
  void set(const char* name, io::GgufValue value) {
    metadata_.emplace_back(prefix_ + name, std::move(value));
  }
  GgufMetadata take() { return std::move(metadata_); }

 private:
  std::string prefix_;
  GgufMetadata metadata_;
};

void put_rope(const DecoderConfig& c, Keys& keys) {
  const RopeScaling& s = c.rope_scaling;
  keys.size("rope.dimension_count", c.rope_size);
  keys.real("rope.freq_base", c.rope_base);
  switch (s.kind) {
    case Kind::kNone:
    case Kind::kLlama3:  // by a tensor
      return;
    case Kind::kLinear:
      keys.set("rope.scaling.type", std::string("linear"));
      keys.real("rope.scaling.factor", s.factor);
      return;
    case Kind::kYarn:
      if (s.mscale != 0 || s.mscale_all != 0) {
        fail(ErrorKind::kUsage, "GGUF cannot hold RoPE scaling with mscale");
      }
      keys.set("rope.scaling.type", std::string("yarn"));
      keys.real("rope.scaling.factor", s.factor);
      keys.size("rope.scaling.original_context_length",
                s.original_context != 0 ? s.original_context : c.context);
      keys.real("rope.scaling.yarn_beta_fast", s.beta_fast);
      keys.real("rope.scaling.yarn_beta_slow", s.beta_slow);
      if (s.attention_factor) {
        keys.real("rope.scaling.attn_factor", *s.attention_factor / (1 + 0.1 * std::log(s.factor)));
      }
      return;
    case Kind::kDynamic:
      fail(ErrorKind::kUsage, "GGUF cannot hold dynamic RoPE scaling");
    case Kind::kLongRope:
      fail(ErrorKind::kUsage, "LongRoPE scaling is not exported to GGUF");
  }
}

void put_experts(const DecoderConfig& c, Keys& keys) {
  if (c.experts == 0) return;
  keys.size("expert_count", c.experts);
  keys.size("expert_used_count", c.experts_per_token);
  if (c.architecture != Architecture::kMixtral) {
    keys.size("expert_feed_forward_length", c.expert_feed_forward);
  }
  if (c.shared_feed_forward != 0) {
    keys.size("expert_shared_feed_forward_length", c.shared_feed_forward);
  }
  if (c.expert_scale != 1) keys.real("expert_weights_scale", c.expert_scale);
  // What GGUF's architectures imply.
  if (c.normalize_experts != (c.architecture != Architecture::kQwen2Moe)) {
    fail(ErrorKind::kUsage, "GGUF cannot hold norm_topk_prob = {} for {}", c.normalize_experts,
         gguf_name(c.architecture));
  }
}

void put_windows(const DecoderConfig& c, Keys& keys) {
  if (c.windows.empty()) return;
  if (std::ranges::adjacent_find(c.windows, std::not_equal_to<>()) != c.windows.end()) {
    fail(ErrorKind::kUsage, "GGUF cannot hold sliding windows that differ between layers");
  }
  if (c.windows.front() != 0) keys.size("attention.sliding_window", c.windows.front());
}

// What each layer has, 0 for nothing; of these architectures one can say it.
void put_sizes(const DecoderConfig& c, Keys& keys) {
  if (c.layer_sizes.empty()) {
    keys.size("feed_forward_length", c.feed_forward);
    keys.size("attention.head_count", c.heads);
    keys.size("attention.head_count_kv", c.kv_heads);
    return;
  }
  if (c.architecture != Architecture::kDeci) {
    fail(ErrorKind::kUsage, "GGUF cannot hold layers that differ for {}",
         gguf_name(c.architecture));
  }
  std::vector<uint32_t> heads, kv_heads, feed_forward;
  for (const LayerSizes& s : c.layer_sizes) {
    heads.push_back(s.heads);
    kv_heads.push_back(s.kv_heads);
    feed_forward.push_back(s.feed_forward);
  }
  keys.set("feed_forward_length", std::move(feed_forward));
  keys.set("attention.head_count", std::move(heads));
  keys.set("attention.head_count_kv", std::move(kv_heads));
}

}  // namespace

GgufMetadata gguf_metadata(const DecoderConfig& c) {
  Keys keys(gguf_name(c.architecture));
  if (!c.name.empty()) keys.general("name", c.name);
  keys.general("quantization_version", uint32_t{2});
  keys.size("vocab_size", c.vocabulary);
  keys.size("context_length", c.context);
  keys.size("embedding_length", c.width);
  keys.size("block_count", c.layers);
  put_sizes(c, keys);
  keys.size("attention.key_length", c.head_size);
  keys.size("attention.value_length", c.head_size);
  keys.real("attention.layer_norm_rms_epsilon", c.norm_eps);
  put_rope(c, keys);
  put_experts(c, keys);
  put_windows(c, keys);
  return keys.take();
}

std::vector<float> rope_divisors(const DecoderConfig& c) {
  const RopeScaling& s = c.rope_scaling;
  if (!s.divisors.empty()) return {s.divisors.begin(), s.divisors.end()};
  if (s.kind != Kind::kLlama3) return {};
  const double context =
      static_cast<double>(s.original_context != 0 ? s.original_context : c.context);
  std::vector<float> divisors;
  for (uint32_t i = 0; i < c.rope_size; i += 2) {
    const double length =
        2 * std::numbers::pi * std::pow(c.rope_base, static_cast<double>(i) / c.rope_size);
    const double turns = context / length;
    if (turns > s.high_frequency) {
      divisors.push_back(1);
    } else if (turns < s.low_frequency) {
      divisors.push_back(static_cast<float>(s.factor));
    } else {
      const double share = (turns - s.low_frequency) / (s.high_frequency - s.low_frequency);
      divisors.push_back(static_cast<float>(1 / ((1 - share) / s.factor + share)));
    }
  }
  return divisors;
}

}  // namespace pith::model
