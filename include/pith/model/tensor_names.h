// What the tensors of a decoder are called: names of Hugging Face's files, which Pith uses inside,
// and those of GGUF files.
//
//   model.layers.3.self_attn.q_proj.weight            blk.3.attn_q.weight
//   model.layers.3.mlp.experts.7.up_proj.weight       blk.3.ffn_up_exps.weight, slice 7
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/model/config.h"

namespace pith::model {

// A tensor of a GGUF file, or one expert's slice of it (the outermost dimension).
struct GgufTensorName {
  std::string name;
  std::optional<uint32_t> expert;
  bool operator==(const GgufTensorName&) const = default;
};

// Nothing for a name that no decoder has. Names of Mixtral and of Qwen are both understood.
std::optional<GgufTensorName> gguf_tensor_name(std::string_view hf_name);

// The reverse; nothing also for tensors that have no counterpart ("rope_freqs.weight"). Experts in
// tensors of their own, as old files have them ("blk.0.ffn_up.7.weight"), are understood.
std::optional<std::string> hf_tensor_name(const GgufTensorName& gguf, Architecture architecture);

// The weights that a tensor of a GGUF file holds, one below the other: one, or that of each expert.
// Empty for tensors that have no counterpart. Loading, exporting and fitting go by this.
std::vector<std::string> weights_in_gguf(std::string_view gguf_name, const DecoderConfig& config);

// Whether a GGUF tensor holds all experts of a layer, one after the other.
bool holds_all_experts(std::string_view gguf_name);

// GGUF files of llama and deci hold the rows of q and k (weights and biases) in the order
// of RopeLayout::kPairs: whether that is so for this tensor, by its name at Hugging Face.
bool has_paired_rows_in_gguf(std::string_view hf_name, Architecture architecture);

// Where a row of RopeLayout::kHalves stands in kPairs, for heads of so many rows, and the reverse.
uint64_t paired_row(uint64_t row, uint32_t head_size);
uint64_t halved_row(uint64_t row, uint32_t head_size);

}  // namespace pith::model
