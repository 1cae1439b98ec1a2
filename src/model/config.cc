#include "pith/model/config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "architectures.h"
#include "pith/base/error.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

constexpr std::array kArchitectures = {
    ArchitectureNames{Architecture::kLlama, "llama", "llama", "LlamaForCausalLM"},
    ArchitectureNames{Architecture::kMistral, "mistral", "llama", "MistralForCausalLM"},
    ArchitectureNames{Architecture::kMixtral, "mixtral", "llama", "MixtralForCausalLM"},
    ArchitectureNames{Architecture::kDeci, "nemotron-nas", "deci", "DeciLMForCausalLM"},
    ArchitectureNames{Architecture::kQwen2, "qwen2", "qwen2", "Qwen2ForCausalLM"},
    ArchitectureNames{Architecture::kQwen3, "qwen3", "qwen3", "Qwen3ForCausalLM"},
    ArchitectureNames{Architecture::kQwen2Moe, "qwen2_moe", "qwen2moe", "Qwen2MoeForCausalLM"},
    ArchitectureNames{Architecture::kQwen3Moe, "qwen3_moe", "qwen3moe", "Qwen3MoeForCausalLM"},
};

// Past any model that exists, and small enough that products of two sizes fit 64 bits.
constexpr uint32_t kMostLayers = 10'000, kMostExperts = 65'536, kMostSize = 1U << 30;

void require(bool right, std::string_view what, uint64_t value) {
  if (!right) fail(ErrorKind::kData, "{} is {}, which cannot be", what, value);
}

void check_list(size_t size, size_t wanted, std::string_view what) {
  if (size != 0 && size != wanted) {
    fail(ErrorKind::kData, "{} has {} entries where there must be {}", what, size, wanted);
  }
}

void check_factors(const std::vector<double>& factors, size_t wanted, std::string_view what) {
  check_list(factors.size(), wanted, what);
  for (const double f : factors) {
    if (!std::isfinite(f) || f <= 0) fail(ErrorKind::kData, "{} holds {}", what, f);
  }
}

void check_rope(const DecoderConfig& c) {
  const RopeScaling& s = c.rope_scaling;
  require(c.rope_size > 0 && c.rope_size <= c.head_size && c.rope_size % 2 == 0,
          "the size of the rotated part of a head", c.rope_size);
  const auto positive = [](double value, std::string_view what) {
    if (!std::isfinite(value) || value <= 0) fail(ErrorKind::kData, "{} is {}", what, value);
  };
  positive(c.rope_base, "the base of RoPE");
  positive(s.factor, "the factor of RoPE scaling");
  positive(s.attention_factor.value_or(1), "the attention factor of RoPE scaling");
  if (s.kind == RopeScaling::Kind::kLlama3) {
    positive(s.low_frequency, "low_freq_factor");
    positive(s.high_frequency - s.low_frequency, "high_freq_factor - low_freq_factor");
  }
  if (s.kind == RopeScaling::Kind::kYarn) {
    positive(s.beta_fast, "beta_fast");
    positive(s.beta_slow, "beta_slow");
    positive(c.rope_base - 1, "the base of RoPE less 1");
  }
  const size_t pairs = c.rope_size / 2;
  if (s.kind == RopeScaling::Kind::kLongRope && (s.short_factors.empty() || s.long_factors.empty()))
    fail(ErrorKind::kData, "RoPE scaling longrope without short_factor or long_factor");
  check_factors(s.short_factors, pairs, "short_factor");
  check_factors(s.long_factors, pairs, "long_factor");
  check_factors(s.divisors, pairs, "rope_freqs");
}

void check_experts(const DecoderConfig& c) {
  require(c.experts <= kMostExperts, "the number of experts", c.experts);
  require(c.experts_per_token > 0 && c.experts_per_token <= c.experts,
          "the number of experts per token", c.experts_per_token);
  require(c.expert_feed_forward > 0 && c.expert_feed_forward <= kMostSize,
          "the feed-forward size of experts", c.expert_feed_forward);
  require(c.shared_feed_forward <= kMostSize, "the feed-forward size of the shared expert",
          c.shared_feed_forward);
  check_list(c.dense_layers.size(), c.layers, "the list of dense layers");
  check_list(c.expert_thresholds.size(), c.layers, "the list of thresholds of experts");
  for (const ExpertThresholds& t : c.expert_thresholds) {
    if (!(t.ratio >= 0) || !(t.ratio <= 1) || !(t.importance >= 0)) {
      fail(ErrorKind::kData, "expert_thresholds holds a ratio of {} and an importance of {}",
           t.ratio, t.importance);
    }
  }
}

void check_sizes(const DecoderConfig& c) {
  check_list(c.layer_sizes.size(), c.layers, "the list of layers' sizes");
  for (uint32_t l = 0; l < c.layer_sizes.size(); ++l) {
    const LayerSizes& s = c.layer_sizes[l];
    const bool heads = s.heads == 0 ? s.kv_heads == 0 : s.kv_heads > 0 && s.heads % s.kv_heads == 0;
    if (!heads) {
      fail(ErrorKind::kData, "layer {}: {} heads cannot share {} key-value heads", l, s.heads,
           s.kv_heads);
    }
    if (s.heads > c.heads || s.kv_heads > c.kv_heads || s.feed_forward > c.feed_forward) {
      fail(ErrorKind::kData, "layer {} is larger than the model says", l);
    }
  }
}

}  // namespace

std::span<const ArchitectureNames> architectures() { return kArchitectures; }

std::string architecture_list(std::string_view ArchitectureNames::*name) {
  std::string all;
  std::string_view last;
  for (const ArchitectureNames& a : kArchitectures) {
    if (a.*name == last) continue;
    last = a.*name;
    all += (all.empty() ? "" : ", ") + std::string(last);
  }
  return all;
}

std::string_view hf_name(Architecture architecture) {
  return kArchitectures[static_cast<size_t>(architecture)].hf;
}

std::string_view gguf_name(Architecture architecture) {
  return kArchitectures[static_cast<size_t>(architecture)].gguf;
}

void check(const DecoderConfig& c) {
  const auto size = [](uint32_t value, std::string_view what) {
    require(value > 0 && value <= kMostSize, what, value);
  };
  require(c.layers > 0 && c.layers <= kMostLayers, "the number of layers", c.layers);
  size(c.vocabulary, "the size of the vocabulary");
  size(c.width, "the width (hidden_size)");
  size(c.heads, "the number of heads");
  size(c.kv_heads, "the number of key-value heads");
  size(c.head_size, "the size of a head");
  if (c.heads % c.kv_heads != 0) {
    fail(ErrorKind::kData, "{} heads cannot share {} key-value heads", c.heads, c.kv_heads);
  }
  require(uint64_t{c.heads} * c.head_size <= kMostSize, "the size of all heads",
          uint64_t{c.heads} * c.head_size);
  if (!(c.norm_eps >= 0) || !(c.norm_eps < 1)) {
    fail(ErrorKind::kData, "the epsilon of the norms is {}", c.norm_eps);
  }
  require(c.context > 0 && c.context <= uint64_t{1} << 40, "the context length", c.context);
  check_list(c.windows.size(), c.layers, "the list of sliding windows");
  check_rope(c);
  check_sizes(c);
  bool dense = c.experts == 0;
  if (c.experts != 0) {
    check_experts(c);
    for (uint32_t l = 0; l < c.layers; ++l) dense = dense || !c.has_experts(l);
  }
  if (dense) size(c.feed_forward, "the feed-forward size");
}

}  // namespace pith::model
