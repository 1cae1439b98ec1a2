// Models as Hugging Face lays them out: a folder with config.json and safetensors, one or several
// that an index lists.
#include <algorithm>

#include "named_tensors.h"
#include "pith/base/error.h"
#include "pith/io/json.h"
#include "pith/model/load_tokenizer.h"
#include "weight_files.h"

namespace pith::model {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxJson = uint64_t{256} << 20;

class HfWeights final : public WeightSource {
 public:
  HfWeights(std::unique_ptr<const ModelFolder> folder, AddTensors add)
      : folder_(std::move(folder)), add_(std::move(add)) {}

  void open(const std::string& file) {
    const auto config = folder_->read("config.json", kMaxJson);
    if (!config) {
      fail(ErrorKind::kIo, "{}: there is no config.json, which says what the model is",
           folder_->where());
    }
    refuse_quantized(*config);
    config_ = config_from_json(*config,
                               folder_->read("generation_config.json", kMaxJson).value_or(Bytes()));
    for (const std::string& part : files(file)) add_(part, tensors_);
  }

  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return folder_->where(); }
  uint64_t bytes() const override { return tensors_.bytes(); }
  uint64_t decoded_bytes() const override { return tensors_.decoded_bytes(); }
  std::function<void()> releaser() const override { return tensors_.releaser(); }

  std::optional<Tokenizer> tokenizer() const override {
    if (!folder_->has("tokenizer.json") && !folder_->has("tokenizer.model")) return std::nullopt;
    return load_tokenizer(*folder_);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : tensors_.tensors()) all.push_back(name);
    return all;
  }

  form::FormPtr form(std::string_view name) const override {
    const NamedTensors::Tensor* tensor = tensors_.find(name);
    return tensor ? form_of(*tensor) : nullptr;
  }

 private:
  static void refuse_quantized(ByteView config) {
    const io::Json root = io::parse_json(config, "config.json");
    const io::Json* quantized = root.find("quantization_config");
    if (!quantized || !quantized->object()) return;
    const io::Json* method = quantized->find("quant_method");
    fail(ErrorKind::kData, "config.json: weights quantized by {} do not run",
         method && method->text() ? *method->text() : "an unknown method");
  }

  // The files that hold the weights.
  std::vector<std::string> files(const std::string& file) const {
    constexpr std::string_view kIndex = "model.safetensors.index.json";
    std::vector<std::string> parts;
    if (const auto index = folder_->read(kIndex, kMaxJson)) {
      for (const fs::path& part : io::describe(*index, kIndex).parts) {
        parts.push_back(part.string());
      }
      if (parts.empty()) fail(ErrorKind::kData, "{}/{}: it lists no files", where(), kIndex);
      if (file.empty() || std::ranges::find(parts, file) != parts.end()) return parts;
    }
    if (!file.empty()) return {file};
    if (folder_->has("model.safetensors")) return {"model.safetensors"};
    parts.clear();
    for (const std::string& name : folder_->files()) {
      if (name.ends_with(".safetensors")) parts.push_back(name);
    }
    if (parts.size() == 1) return parts;
    fail(ErrorKind::kIo, "{}: there is no model.safetensors{}", where(),
         parts.empty() ? "" : ", and no index says which of the others are the model");
  }

  std::unique_ptr<const ModelFolder> folder_;
  AddTensors add_;
  DecoderConfig config_;
  NamedTensors tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_hf(std::unique_ptr<const ModelFolder> folder, AddTensors add,
                                      const std::string& file) {
  const std::string where = folder->where();
  auto source = std::make_unique<HfWeights>(std::move(folder), std::move(add));
  try {
    source->open(file);
  } catch (const Error& error) {
    const std::string_view what = error.what();
    throw what.starts_with(where) ? error : error.in(where);
  }
  return source;
}

std::unique_ptr<WeightSource> open_hf_folder(const fs::path& folder, const fs::path& file) {
  return open_hf(
      std::make_unique<DiskFolder>(folder),
      [folder](const std::string& name, NamedTensors& to) { to.add(folder / name, "safetensors"); },
      file.filename().string());
}

}  // namespace pith::model
