#include <algorithm>
#include <map>

#include "export_plan.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/tensor_names.h"

namespace pith::model {
namespace {

// Vectors, and the matrices that choose experts, are f32 in every file.
bool is_vector(std::string_view gguf_name) {
  return gguf_name.ends_with(".bias") || gguf_name.find("norm.") != std::string_view::npos ||
         gguf_name.find("ffn_gate_inp_shexp.") != std::string_view::npos;
}
bool is_router(std::string_view gguf_name) {
  return gguf_name.find("ffn_gate_inp.") != std::string_view::npos;
}

// Buffers that some files have beside their weights, which follow from the config.
bool is_derived(std::string_view hf_name) {
  return hf_name.ends_with(".rotary_emb.inv_freq") || hf_name.ends_with(".masked_bias");
}

// Layers by number, what comes before and after them at its place.
std::pair<int64_t, std::string> place(const std::string& name) {
  if (name.starts_with("token_embd")) return {-1, name};
  if (!name.starts_with("blk.")) return {INT64_MAX, name};
  return {std::stoll(name.substr(4)), name};
}

class DecoderPlan {
 public:
  DecoderPlan(const WeightSource& source, const ExportOptions& options)
      : source_(source), config_(source.config()), options_(options) {}

  ExportPlan take() {
    plan_.metadata = gguf_metadata(config_);
    if (!config_.expert_thresholds.empty()) {
      plan_.notes.emplace_back(
          "expert_thresholds left out: all experts that are chosen are visited");
    }
    add_tokenizer();
    add_rope();
    for (const std::string& name : source_.names()) add(name);
    for (auto& [name, tensor] : tensors_) {
      check_experts(tensor);
      if (is_vector(name) || is_router(name)) {
        choose_type(tensor, DType::kF32, plan_.notes);
      } else {
        choose_type(tensor, options_.type, plan_.notes);
      }
      plan_.tensors.push_back(std::move(tensor));
    }
    if (const auto number = file_type_number(options_.type.value_or(most_common_type()))) {
      plan_.metadata.emplace_back("general.file_type", *number);
    }
    std::ranges::sort(plan_.tensors, {}, [](const ExportTensor& t) { return place(t.name); });
    return std::move(plan_);
  }

 private:
  // Of the elements of matrices.
  DType most_common_type() const {
    std::map<DType, uint64_t> elements;
    for (const ExportTensor& tensor : plan_.tensors) {
      uint64_t n = tensor.shape.size() < 2 ? 0 : 1;
      for (const uint64_t size : tensor.shape) n *= size;
      elements[tensor.type] += n;
    }
    const auto most =
        std::ranges::max_element(elements, {}, [](const auto& pair) { return pair.second; });
    return most == elements.end() ? DType::kF32 : most->first;
  }

  void add_tokenizer() {
    try {
      if (const auto tokenizer = source_.tokenizer()) {
        for (auto& pair : gguf_metadata(*tokenizer, config_.vocabulary)) {
          plan_.metadata.push_back(std::move(pair));
        }
        add_end_of_turn();
        return;
      }
      plan_.notes.emplace_back("there is no tokenizer");
    } catch (const Error& error) {
      plan_.notes.push_back(fmt::format("tokenizer left out: {}", error.what()));
    }
    plan_.metadata.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
  }

  // The config may end texts with more tokens than the tokenizer names.
  void add_end_of_turn() {
    const auto* eos = io::find_as<uint32_t>(plan_.metadata, "tokenizer.ggml.eos_token_id");
    for (const int32_t id : config_.eos) {
      const auto token = static_cast<uint32_t>(id);
      if (eos && *eos == token) continue;
      plan_.metadata.emplace_back(
          eos ? "tokenizer.ggml.eot_token_id" : "tokenizer.ggml.eos_token_id", token);
      return;
    }
  }

  void add_rope() {
    const std::vector<float> divisors = rope_divisors(config_);
    if (divisors.empty()) return;
    form::Matrix row({1, divisors.size()});
    row.values = divisors;
    ExportTensor tensor{"rope_freqs.weight", "rope_freqs", {divisors.size()}, DType::kF32, {}};
    tensor.parts.push_back({form::encode(form::parse("dense(f32)"), row.view()), std::nullopt, 0});
    tensors_.emplace(tensor.name, std::move(tensor));
  }

  void add(const std::string& name) {
    if (is_derived(name) || (config_.tied_embeddings && name == "lm_head.weight")) return;
    const auto gguf = gguf_tensor_name(name);
    if (!gguf) {
      fail(ErrorKind::kUsage, "tensor {}: GGUF has no name for it", io::in_quotes(name));
    }
    const form::FormPtr form = source_.form(name);
    const auto [rows, cols] = form->shape();
    ExportTensor::Part part{form, std::nullopt, 0};
    if (config_.rope_layout == RopeLayout::kHalves &&
        has_paired_rows_in_gguf(name, config_.architecture)) {
      part.head_size = config_.head_size;
    }
    ExportTensor& tensor = tensors_[gguf->name];
    tensor.name = gguf->name;
    if (!gguf->expert) {
      tensor.shown = name;
      tensor.shape = {rows, cols};
      if (is_vector(gguf->name)) as_vector(tensor, part);
      tensor.parts = {std::move(part)};
      return;
    }
    if (*gguf->expert >= config_.experts) {
      fail(ErrorKind::kData, "tensor {}: there are only {} experts", io::in_quotes(name),
           config_.experts);
    }
    tensor.shown = name;
    tensor.shape = {config_.experts, rows, cols};
    tensor.parts.resize(config_.experts);
    tensor.parts[*gguf->expert] = std::move(part);
  }

  // The elements of a bias are the rows of its matrix.
  static void as_vector(ExportTensor& tensor, ExportTensor::Part& part) {
    const form::Matrix all = form::decode(*part.form);
    const uint64_t n = all.values.size();
    tensor.shape = {n};
    form::Matrix row({1, n});
    for (uint64_t i = 0; i < n; ++i) {
      row.values[part.head_size == 0 ? i : paired_row(i, part.head_size)] = all.values[i];
    }
    part = {form::encode(form::parse("dense(f32)"), row.view()), std::nullopt, 0};
  }

  static void check_experts(const ExportTensor& tensor) {
    for (size_t e = 0; e < tensor.parts.size(); ++e) {
      const form::FormPtr& form = tensor.parts[e].form;
      if (!form) {
        fail(ErrorKind::kData, "the part of expert {} is missing beside {}", e,
             io::in_quotes(tensor.shown));
      }
      if (form->shape() != tensor.parts.front().form->shape()) {
        fail(ErrorKind::kData, "the experts beside {} have different sizes",
             io::in_quotes(tensor.shown));
      }
    }
  }

  const WeightSource& source_;
  const DecoderConfig& config_;
  const ExportOptions& options_;
  std::map<std::string, ExportTensor> tensors_;
  ExportPlan plan_;
};

}  // namespace

ExportPlan plan_decoder(const WeightSource& source, const ExportOptions& options) {
  return DecoderPlan(source, options).take();
}

}  // namespace pith::model
