// Models as Hugging Face lays them out: a folder with config.json and safetensors, one or several
// that an index lists.
#include <algorithm>

#include "mapped_tensors.h"
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
  explicit HfWeights(fs::path folder) : folder_(std::move(folder)) {}

  void open(const fs::path& file) {
    const Bytes config = read_file(folder_ / "config.json", kMaxJson);
    refuse_quantized(config);
    config_ = config_from_json(config, optional_file("generation_config.json"));
    for (const fs::path& part : files(file)) tensors_.add(part, "safetensors");
  }

  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return folder_.string(); }
  uint64_t bytes() const override { return tensors_.bytes(); }

  std::optional<Tokenizer> tokenizer() const override {
    if (!fs::exists(folder_ / "tokenizer.json") && !fs::exists(folder_ / "tokenizer.model")) {
      return std::nullopt;
    }
    return load_tokenizer(folder_);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, tensor] : tensors_.tensors()) all.push_back(name);
    return all;
  }

  form::FormPtr form(std::string_view name) const override {
    const MappedTensors::Tensor* tensor = tensors_.find(name);
    return tensor ? form_of(*tensor) : nullptr;
  }

 private:
  Bytes optional_file(const char* name) const {
    return fs::exists(folder_ / name) ? read_file(folder_ / name, kMaxJson) : Bytes();
  }

  static void refuse_quantized(ByteView config) {
    const io::Json root = io::parse_json(config, "config.json");
    const io::Json* quantized = root.find("quantization_config");
    if (!quantized || !quantized->object()) return;
    const io::Json* method = quantized->find("quant_method");
    fail(ErrorKind::kData, "config.json: weights quantized by {} do not run",
         method && method->text() ? *method->text() : "an unknown method");
  }

  // The files that hold the weights.
  std::vector<fs::path> files(const fs::path& file) const {
    const fs::path index = folder_ / "model.safetensors.index.json";
    std::vector<fs::path> parts;
    if (fs::exists(index)) {
      const Bytes text = read_file(index, kMaxJson);
      for (const fs::path& part : io::describe(text, index.filename()).parts) {
        parts.push_back(folder_ / part);
      }
      const bool listed = file.empty() || std::ranges::any_of(parts, [&](const fs::path& part) {
                            return part.filename() == file.filename();
                          });
      if (parts.empty()) fail(ErrorKind::kData, "{}: it lists no files", index.string());
      if (listed) return parts;
    }
    if (!file.empty()) return {file};
    if (fs::exists(folder_ / "model.safetensors")) return {folder_ / "model.safetensors"};
    parts.clear();
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() == ".safetensors") parts.push_back(entry.path());
    }
    if (parts.size() == 1) return parts;
    fail(ErrorKind::kIo, "{}: there is no model.safetensors{}", folder_.string(),
         parts.empty() ? "" : ", and no index says which of the others are the model");
  }

  fs::path folder_;
  DecoderConfig config_;
  MappedTensors tensors_;
};

}  // namespace

std::unique_ptr<WeightSource> open_hf_folder(const fs::path& folder, const fs::path& file) {
  auto source = std::make_unique<HfWeights>(folder);
  if (!fs::exists(folder / "config.json")) {
    fail(ErrorKind::kIo, "{}: there is no config.json, which says what the model is",
         folder.string());
  }
  try {
    source->open(file);
  } catch (const Error& error) {
    const std::string_view what = error.what();
    throw what.starts_with(folder.string()) ? error : error.in(folder.string());
  }
  return source;
}

}  // namespace pith::model
