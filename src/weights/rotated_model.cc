#include "pith/weights/rotated_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "input_scales.h"
#include "learned_rotation.h"
#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/form/tensor.h"
#include "pith/io/text.h"
#include "pith/io/write.h"

namespace pith::weights {
namespace {

using archive::Input;
using archive::Source;
using model::RotatedWeights;
using model::WeightSource;

constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr uint64_t kMostConfig = uint64_t{64} << 20;

struct Rotated {
  std::unique_ptr<WeightSource> source;
  std::unique_ptr<RotatedWeights> weights;
};

// What a tensor that is not changed is stored as: floats, or as it was.
DType type_of(const form::Form& form) {
  const form::Expression expression = form.expression();
  for (const DType type : {DType::kF16, DType::kBF16}) {
    if (form::tensor_expression(type) == expression) return type;
  }
  return DType::kF32;
}

// Vectors are matrices of one row inside; the gate of shared experts is one.
std::vector<uint64_t> shape_of(const std::string& name, form::Shape shape) {
  if (shape.rows == 1 && !name.ends_with("shared_expert_gate.weight")) return {shape.cols};
  return {shape.rows, shape.cols};
}

// All tensors in one file, made when they are asked for.
class RotatedFile final : public Source {
 public:
  RotatedFile(std::shared_ptr<const Rotated> rotated, uint32_t mode)
      : rotated_(std::move(rotated)), mode_(mode) {
    std::vector<io::TensorInfo> all;
    for (const std::string& name : rotated_->weights->names()) {
      const form::FormPtr origin = rotated_->weights->origin(name);
      const DType type = rotated_->weights->changes(name) ? DType::kF32 : type_of(*origin);
      all.push_back({name, type, shape_of(name, origin->shape())});
    }
    std::vector<io::TensorInfo> ordered;
    for (const size_t i : io::safetensors_order(all)) ordered.push_back(all[i]);
    // As other programs have it, which ask for it.
    const io::Metadata metadata = {{"format", "pt"}};
    header_ = io::safetensors_header(ordered, metadata);
    layout_.format = "safetensors";
    layout_.metadata = metadata;
    size_ = header_.size();
    for (io::TensorInfo& tensor : ordered) {
      uint64_t elements = 1;
      for (const uint64_t d : tensor.shape) elements = checked_mul(elements, d);
      const uint64_t bytes = checked_mul(elements, info(tensor.dtype).block_bytes);
      layout_.tensors.push_back(
          {tensor.name, tensor.dtype, std::move(tensor.shape), size_, bytes, false});
      size_ = checked_add(size_, bytes);
    }
  }

  io::Layout layout() override { return layout_; }
  std::optional<uint64_t> size() const override { return size_; }
  uint32_t mode() const override { return mode_; }

  Buffer get(uint64_t offset, uint64_t n) override {
    const uint64_t end = offset >= size_ ? offset : offset + std::min(n, size_ - offset);
    Bytes out(end - offset);
    const auto copy = [&](uint64_t at, ByteView bytes) {
      const uint64_t from = std::max(offset, at), to = std::min<uint64_t>(end, at + bytes.size());
      if (from >= to) return;
      std::ranges::copy(bytes.subspan(from - at, to - from),
                        out.begin() + static_cast<ptrdiff_t>(from - offset));
    };
    copy(0, header_);
    auto t = std::ranges::partition_point(layout_.tensors, [&](const io::TensorRegion& region) {
      return region.offset + region.size <= offset;
    });
    for (; t != layout_.tensors.end() && t->offset < end; ++t) copy(t->offset, tensor(*t));
    return Buffer(std::move(out));
  }

 private:
  // The one that was asked for last is at hand.
  ByteView tensor(const io::TensorRegion& region) {
    if (made_ == region.name) return bytes_;
    const std::vector<float> values = form::decode(*rotated_->weights->form(region.name)).values;
    bytes_.resize(region.size);
    elements_from(values, region.dtype, false, bytes_);
    made_ = region.name;
    return bytes_;
  }

  std::shared_ptr<const Rotated> rotated_;
  uint32_t mode_;
  io::Layout layout_;
  Bytes header_, bytes_;
  uint64_t size_ = 0;
  std::string made_;
};

// Bytes that it holds itself.
class OwnBytes final : public Source {
 public:
  OwnBytes(Bytes bytes, uint32_t mode) : bytes_(std::move(bytes)), mode_(mode) {}
  io::Layout layout() override { return {}; }
  std::optional<uint64_t> size() const override { return bytes_.bytes.size(); }
  uint32_t mode() const override { return mode_; }
  Buffer get(uint64_t offset, uint64_t n) override {
    const uint64_t begin = std::min<uint64_t>(offset, bytes_.size());
    return {bytes_.bytes.subspan(begin, std::min<uint64_t>(n, bytes_.size() - begin)),
            bytes_.owner};
  }

 private:
  Buffer bytes_;
  uint32_t mode_;
};

// The config of a model whose head is a tensor of its own, in f32.
Bytes untied(ByteView config) {
  auto json = nlohmann::ordered_json::parse(config.begin(), config.end());
  json["tie_word_embeddings"] = false;
  for (const char* type : {"torch_dtype", "dtype"}) {
    if (json.contains(type)) json[type] = "float32";
  }
  const std::string text = json.dump(1) + "\n";
  return {text.begin(), text.end()};
}

bool is_file(const Input& input, std::string_view name) {
  return input.source && (input.path == name || input.path.ends_with("/" + std::string(name)));
}

class Inputs {
 public:
  Inputs(std::vector<Input> inputs, const std::vector<std::string>& names)
      : inputs_(std::move(inputs)) {
    for (Input& input : inputs_) {
      if (!input.source) continue;
      bytes_ += input.source->size().value_or(0);
      const io::Layout layout = input.source->layout();
      if (layout.format == "gguf") {
        fail(ErrorKind::kUsage,
             "{}: rotations are folded into models of safetensors; of a GGUF file they are not",
             input.path);
      }
      const bool model = layout.format == "safetensors" && is_top(input) &&
                         std::ranges::any_of(layout.tensors, [&](const io::TensorRegion& t) {
                           return std::ranges::find(names, t.name) != names.end();
                         });
      if (!model) continue;
      for (const io::TensorRegion& t : layout.tensors) {
        if (has_float_elements(t.dtype)) weights_ += t.size / info(t.dtype).block_bytes;
      }
      parts_.push_back(input.path);
    }
    if (parts_.empty()) {
      fail(ErrorKind::kUsage, "there are no safetensors of a model to fold rotations into");
    }
  }

  uint64_t bytes() const { return bytes_; }
  uint64_t weights() const { return weights_; }

  std::vector<Input> with(const std::shared_ptr<const Rotated>& rotated, bool untie) && {
    bool is_untied = false, is_there = false;
    std::vector<Input> out;
    for (Input& input : inputs_) {
      if (std::ranges::find(parts_, input.path) != parts_.end()) {
        if (!std::exchange(is_there, true)) out.push_back(file(rotated, input));
        continue;
      }
      if (is_file(input, kIndex) && is_top(input) && parts_.size() > 1) continue;
      if (untie && is_file(input, "config.json") && is_top(input)) {
        const Buffer config =
            input.source->get(0, std::min(input.source->size().value_or(0), kMostConfig));
        input.source = std::make_shared<OwnBytes>(untied(config.bytes), input.source->mode());
        is_untied = true;
      }
      out.push_back(std::move(input));
    }
    if (untie && !is_untied) {
      fail(ErrorKind::kUsage,
           "a rotation of the residual stream changes config.json too: name the model's folder");
    }
    return out;
  }

 private:
  // Not in a folder below the model's.
  static bool is_top(const Input& input) { return std::ranges::count(input.path, '/') <= 1; }

  Input file(const std::shared_ptr<const Rotated>& rotated, const Input& first) const {
    std::string path = first.path;
    if (parts_.size() > 1) path = path.substr(0, path.rfind('/') + 1) + "model.safetensors";
    return {path, std::make_shared<RotatedFile>(rotated, first.source->mode()), first.mode};
  }

  std::vector<Input> inputs_;
  std::vector<std::string> parts_;  // files of the model's tensors
  uint64_t bytes_ = 0, weights_ = 0;
};

model::Rotation rotation_of(const WeightSource& source, std::string_view text,
                            const RotateOptions& options) {
  switch (options.by) {
    case RotateBy::kNothing:
      break;
    case RotateBy::kValues:
    case RotateBy::kHadamard:
      return hadamard_rotations(source.config(), options.by == RotateBy::kHadamard, options.seed);
    case RotateBy::kLearned:
      return learned_rotation(source, text, options);
  }
  return {};
}

}  // namespace

RotatedModel rotated_model(const std::filesystem::path& path, std::vector<Input> inputs,
                           std::string_view text, const RotateOptions& options) {
  if (options.seed == 0) fail(ErrorKind::kUsage, "a rotation needs a seed that is not 0");
  if (!(options.smooth >= 0 && options.smooth <= 1)) {
    fail(ErrorKind::kUsage, "channels are scaled by a power of 0 to 1, not {}", options.smooth);
  }
  auto rotated = std::make_shared<Rotated>();
  rotated->source = model::open_weights(path);
  const WeightSource& source = *rotated->source;
  Inputs files(std::move(inputs), source.names());
  model::Rotation rotation = rotation_of(source, text, options);
  if (options.smooth > 0) {
    const RotatedWeights turned(source, rotation, options.threads);
    rotation.scales = input_scales(model::make_model(turned), text, options);
  }
  const bool stream = !rotation.stream.values.empty();
  rotated->weights = std::make_unique<RotatedWeights>(source, std::move(rotation), options.threads);
  model::LanguageModel model = model::make_model(*rotated->weights);
  const uint64_t weights = files.weights(), bytes = files.bytes();
  return {.model = std::move(model),
          .inputs = std::move(files).with(rotated, stream),
          .weights = weights,
          .bytes = bytes};
}

}  // namespace pith::weights
