// Models in GGUF files, one or a set of them ("…-00001-of-00003.gguf").
#include <algorithm>

#include "named_tensors.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/load_tokenizer.h"
#include "pith/model/tensor_names.h"
#include "weight_files.h"

namespace pith::model {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMostFiles = 1000;

// The files of a set, whose names have their number.
std::vector<fs::path> set_of(const fs::path& first, uint64_t count) {
  const std::string name = first.filename().string();
  const size_t at = name.rfind("-00001-of-");
  if (at == std::string::npos || count > kMostFiles) {
    fail(ErrorKind::kData, "{}: it is a part of {} files; open the first, …-00001-of-{:05}.gguf",
         first.string(), count, count);
  }
  std::vector<fs::path> files;
  for (uint64_t k = 1; k <= count; ++k) {
    std::string part = name;
    files.push_back(first.parent_path() / part.replace(at + 1, 5, fmt::format("{:05}", k)));
  }
  return files;
}

class GgufWeights final : public WeightSource {
 public:
  explicit GgufWeights(std::string where) : where_(std::move(where)) {}

  NamedTensors& tensors() { return tensors_; }
  const io::GgufMetadata& metadata() const { return metadata_; }

  // The first of the files that have been added.
  void read_header(ByteView file) {
    in_file([&] {
      metadata_ = io::read_gguf_metadata(file);
      config_ = config_from_gguf(metadata_);
    });
  }

  // All files have been added.
  void finish() {
    in_file([&] {
      complete_config();
      list_names();
    });
  }

  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return where_; }
  uint64_t bytes() const override { return tensors_.bytes(); }
  uint64_t decoded_bytes() const override { return tensors_.decoded_bytes(); }
  std::function<void()> releaser() const override { return tensors_.releaser(); }

  std::optional<Tokenizer> tokenizer() const override {
    const auto* kind = io::find_as<std::string>(metadata_, "tokenizer.ggml.model");
    if (!kind || *kind == "no_vocab" || *kind == "none") return std::nullopt;
    return tokenizer_from_gguf(metadata_);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, place] : places_) all.push_back(name);
    return all;
  }

  form::FormPtr form(std::string_view name) const override {
    const auto found = places_.find(name);
    if (found == places_.end()) return nullptr;
    const Place& place = found->second;
    return place.expert ? form_of(*place.tensor, *place.expert, config_.experts)
                        : form_of(*place.tensor);
  }

 private:
  struct Place {
    const NamedTensors::Tensor* tensor;
    std::optional<uint32_t> expert;
  };

  template <class Step>
  void in_file(const Step& step) const {
    try {
      step();
    } catch (const Error& error) {
      throw error.in(where_);
    }
  }

  // What only the tensors tell.
  void complete_config() {
    const NamedTensors::Tensor* embedding = tensors_.find("token_embd.weight");
    if (!embedding) fail(ErrorKind::kData, "there is no tensor \"token_embd.weight\"");
    const std::vector<uint64_t>& shape = embedding->region.shape;
    if (shape.size() == 2 && shape[0] <= UINT32_MAX) {
      config_.vocabulary = static_cast<uint32_t>(shape[0]);
    }
    config_.tied_embeddings = !tensors_.find("output.weight");
    config_.qkv_bias = tensors_.find("blk.0.attn_q.bias") != nullptr;
    config_.output_bias = tensors_.find("blk.0.attn_output.bias") != nullptr;
    config_.mlp_bias = tensors_.find("blk.0.ffn_up.bias") != nullptr;
    const NamedTensors::Tensor* shared = tensors_.find("blk.0.ffn_up_shexp.weight");
    if (shared && config_.shared_feed_forward == 0 && shared->region.shape.size() == 2 &&
        shared->region.shape[0] <= UINT32_MAX) {
      config_.shared_feed_forward = static_cast<uint32_t>(shared->region.shape[0]);
    }
    if (const NamedTensors::Tensor* rope = tensors_.find("rope_freqs.weight")) {
      const form::Matrix divisors = form::decode(*form_of(*rope));
      config_.rope_scaling.divisors.assign(divisors.values.begin(), divisors.values.end());
    }
    if (config_.experts != 0) {
      config_.dense_layers.assign(config_.layers, false);
      for (uint32_t l = 0; l < config_.layers; ++l) {
        config_.dense_layers[l] = !tensors_.find(fmt::format("blk.{}.ffn_gate_inp.weight", l));
      }
    }
    check(config_);
  }

  void list_names() {
    for (const auto& [name, tensor] : tensors_.tensors()) {
      const bool stacked = holds_all_experts(name);
      // No more names than the file has bytes.
      if (stacked && (tensor.region.shape.empty() || tensor.region.size < config_.experts ||
                      tensor.region.shape.front() != config_.experts)) {
        fail(ErrorKind::kData, "tensor {} does not hold {} experts", io::in_quotes(name),
             config_.experts);
      }
      const std::vector<std::string> weights = weights_in_gguf(name, config_);
      for (uint32_t e = 0; e < weights.size(); ++e) {
        places_.try_emplace(weights[e], Place{&tensor, stacked ? std::optional(e) : std::nullopt});
      }
    }
  }

  std::string where_;
  NamedTensors tensors_;
  io::GgufMetadata metadata_;
  DecoderConfig config_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf(const fs::path& path) {
  auto source = std::make_unique<GgufWeights>(path.string());
  source->read_header(source->tensors().add(path, "gguf")->bytes());
  const auto* parts = io::find_as<uint16_t>(source->metadata(), "split.count");
  if (parts && *parts > 1) {
    for (const fs::path& part : set_of(path, *parts)) {
      if (part != path) source->tensors().add(part, "gguf");
    }
  }
  source->finish();
  return source;
}

std::unique_ptr<WeightSource> open_gguf(std::string where, ByteView header,
                                        const std::function<void(NamedTensors& to)>& add) {
  auto source = std::make_unique<GgufWeights>(std::move(where));
  source->read_header(header);
  add(source->tensors());
  source->finish();
  return source;
}

}  // namespace pith::model
