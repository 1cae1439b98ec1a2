#include "pith/model/tensor_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace pith::model {
namespace {

struct Pair {
  std::string_view hf, gguf;
};

constexpr std::array kWhole = {
    Pair{"model.embed_tokens", "token_embd"},
    Pair{"model.norm", "output_norm"},
    Pair{"lm_head", "output"},
};

// Of a layer. Where two names stand for one, the reverse takes the one of the architecture: the
// first is Mixtral's.
constexpr std::array kLayer = {
    Pair{"input_layernorm", "attn_norm"},
    Pair{"self_attn.q_proj", "attn_q"},
    Pair{"self_attn.k_proj", "attn_k"},
    Pair{"self_attn.v_proj", "attn_v"},
    Pair{"self_attn.o_proj", "attn_output"},
    Pair{"self_attn.q_norm", "attn_q_norm"},
    Pair{"self_attn.k_norm", "attn_k_norm"},
    Pair{"post_attention_layernorm", "ffn_norm"},
    Pair{"mlp.gate_proj", "ffn_gate"},
    Pair{"mlp.up_proj", "ffn_up"},
    Pair{"mlp.down_proj", "ffn_down"},
    Pair{"block_sparse_moe.gate", "ffn_gate_inp"},
    Pair{"mlp.gate", "ffn_gate_inp"},
    Pair{"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    Pair{"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    Pair{"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    Pair{"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
};

struct ExpertNames {
  std::string_view mixtral, qwen, gguf;
};
constexpr std::array kExpert = {
    ExpertNames{"w1", "gate_proj", "ffn_gate"},
    ExpertNames{"w2", "down_proj", "ffn_down"},
    ExpertNames{"w3", "up_proj", "ffn_up"},
};
constexpr std::string_view kMixtralExperts = "block_sparse_moe.experts.";
constexpr std::string_view kQwenExperts = "mlp.experts.";
constexpr std::string_view kStacked = "_exps";

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_end(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// "12." as its number; numbers are written one way only.
std::optional<uint32_t> take_number(std::string_view& text) {
  uint32_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto digits = static_cast<size_t>(end - text.data());
  if (wrong != std::errc() || digits == text.size() || *end != '.') return std::nullopt;
  if (digits > 1 && text.front() == '0') return std::nullopt;
  text.remove_prefix(digits + 1);
  return number;
}

// Cuts off ".weight" or ".bias", which both sides write.
std::string_view take_ending(std::string_view& text) {
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (take_end(text, ending)) return ending;
  }
  return {};
}

std::optional<GgufTensorName> expert_tensor(uint32_t layer, std::string_view rest,
                                            std::string_view ending) {
  const bool mixtral = take(rest, kMixtralExperts);
  if (!mixtral && !take(rest, kQwenExperts)) return std::nullopt;
  const auto expert = take_number(rest);
  if (!expert) return std::nullopt;
  for (const ExpertNames& names : kExpert) {
    if (rest != (mixtral ? names.mixtral : names.qwen)) continue;
    return GgufTensorName{fmt::format("blk.{}.{}{}{}", layer, names.gguf, kStacked, ending),
                          *expert};
  }
  return std::nullopt;
}

std::optional<std::string> expert_name(uint32_t layer, std::string_view part, uint32_t expert,
                                       std::string_view ending, bool mixtral) {
  for (const ExpertNames& names : kExpert) {
    if (part != names.gguf) continue;
    return fmt::format("model.layers.{}.{}{}.{}{}", layer, mixtral ? kMixtralExperts : kQwenExperts,
                       expert, mixtral ? names.mixtral : names.qwen, ending);
  }
  return std::nullopt;
}

}  // namespace

std::optional<GgufTensorName> gguf_tensor_name(std::string_view hf_name) {
  const std::string_view ending = take_ending(hf_name);
  if (ending.empty()) return std::nullopt;
  for (const Pair& pair : kWhole) {
    if (hf_name == pair.hf) return GgufTensorName{fmt::format("{}{}", pair.gguf, ending), {}};
  }
  if (!take(hf_name, "model.layers.")) return std::nullopt;
  const auto layer = take_number(hf_name);
  if (!layer) return std::nullopt;
  for (const Pair& pair : kLayer) {
    if (hf_name == pair.hf)
      return GgufTensorName{fmt::format("blk.{}.{}{}", *layer, pair.gguf, ending), {}};
  }
  return expert_tensor(*layer, hf_name, ending);
}

std::optional<std::string> hf_tensor_name(const GgufTensorName& gguf, Architecture architecture) {
  std::string_view rest = gguf.name;
  const std::string_view ending = take_ending(rest);
  if (ending.empty()) return std::nullopt;
  for (const Pair& pair : kWhole) {
    if (rest == pair.gguf && !gguf.expert) return fmt::format("{}{}", pair.hf, ending);
  }
  if (!take(rest, "blk.")) return std::nullopt;
  const auto layer = take_number(rest);
  if (!layer) return std::nullopt;
  const bool mixtral = architecture == Architecture::kMixtral;
  if (gguf.expert) {
    if (!take_end(rest, kStacked)) return std::nullopt;
    return expert_name(*layer, rest, *gguf.expert, ending, mixtral);
  }
  for (const Pair& pair : kLayer) {
    if (rest != pair.gguf || (!mixtral && pair.hf.starts_with("block_sparse_moe"))) continue;
    return fmt::format("model.layers.{}.{}{}", *layer, pair.hf, ending);
  }
  // ffn_up.7 of old files.
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string number = std::string(rest.substr(dot + 1)) + ".";
  std::string_view digits = number;
  const auto expert = take_number(digits);
  if (!expert || !digits.empty()) return std::nullopt;
  return expert_name(*layer, rest.substr(0, dot), *expert, ending, mixtral);
}

bool holds_all_experts(std::string_view gguf_name) {
  const std::string_view ending = take_ending(gguf_name);
  return !ending.empty() && gguf_name.starts_with("blk.") && gguf_name.ends_with(kStacked);
}

std::vector<std::string> weights_in_gguf(std::string_view gguf_name, const DecoderConfig& config) {
  const bool stacked = holds_all_experts(gguf_name);
  std::vector<std::string> names;
  for (uint32_t e = 0; e < (stacked ? config.experts : 1); ++e) {
    GgufTensorName gguf{std::string(gguf_name), {}};
    if (stacked) gguf.expert = e;
    auto name = hf_tensor_name(gguf, config.architecture);
    if (!name) return {};
    names.push_back(std::move(*name));
  }
  return names;
}

bool has_paired_rows_in_gguf(std::string_view hf_name, Architecture architecture) {
  const std::string_view gguf = gguf_name(architecture);
  if (gguf != "llama" && gguf != "deci") return false;
  take_ending(hf_name);
  return hf_name.ends_with(".self_attn.q_proj") || hf_name.ends_with(".self_attn.k_proj");
}

uint64_t paired_row(uint64_t row, uint32_t head_size) {
  const uint64_t head = row / head_size, at = row % head_size, half = head_size / 2;
  return head * head_size + at % half * 2 + at / half;
}

uint64_t halved_row(uint64_t row, uint32_t head_size) {
  const uint64_t head = row / head_size, at = row % head_size;
  return head * head_size + at % 2 * (head_size / 2) + at / 2;
}

}  // namespace pith::model
