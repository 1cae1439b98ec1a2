// Small random models, in memory and as the files that others write. Test-only.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pith/io/write.h"
#include "pith/model/session.h"
#include "pith/model/weight_source.h"

namespace pith::model::testing {

// A folder that is gone afterwards.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "pith-model-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, ByteView bytes);

struct Tensor {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};
using Tensors = std::map<std::string, Tensor>;

// Sizes that no vector length divides.
DecoderConfig small_config(Architecture architecture = Architecture::kLlama);

DecoderConfig small_experts(Architecture architecture);

Tensors random_tensors(const DecoderConfig& config, uint32_t seed = 1);

// The values in one of the dense types.
Bytes stored(const std::vector<float>& values, DType type);

// Weights in memory: what another source of weights has to do.
class MemoryWeights final : public WeightSource {
 public:
  MemoryWeights(DecoderConfig config, const Tensors& tensors, DType type = DType::kF32);

  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return "memory"; }
  std::optional<Tokenizer> tokenizer() const override { return std::nullopt; }
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, form] : forms_) all.push_back(name);
    return all;
  }
  uint64_t bytes() const override { return bytes_; }
  form::FormPtr form(std::string_view name) const override {
    const auto found = forms_.find(std::string(name));
    return found == forms_.end() ? nullptr : found->second;
  }

 private:
  DecoderConfig config_;
  uint64_t bytes_ = 0;
  std::map<std::string, form::FormPtr> forms_;
};

nlohmann::json config_json(const DecoderConfig& c);

void write_safetensors(const std::filesystem::path& path, const Tensors& tensors, DType type);

// A folder as Hugging Face has it; in several files with an index where `shards` > 1.
void write_hf(const std::filesystem::path& folder, const DecoderConfig& config,
              const Tensors& tensors, DType type = DType::kF32, size_t shards = 1);

io::GgufMetadata gguf_metadata(const DecoderConfig& c);

// The tensors under their names in GGUF, experts one after the other, rows of q and k in pairs.
Tensors gguf_tensors(const DecoderConfig& c, const Tensors& tensors);

// `type`: of matrices; vectors are f32.
void write_gguf(const std::filesystem::path& path, const io::GgufMetadata& metadata,
                const Tensors& tensors, DType type = DType::kF32);

// Of a text of all tokens in their order.
std::vector<float> logits_of(const LanguageModel& model);

// The largest difference of two lists of one length.
double farthest(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace pith::model::testing
