#include "changed_inputs.h"

#include <algorithm>
#include <utility>

#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/form/tensor.h"
#include "pith/io/text.h"
#include "pith/io/write.h"

namespace pith::weights {
namespace {

using archive::Input;
using archive::Source;
using model::WeightSource;

constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr uint64_t kMostConfig = uint64_t{64} << 20;

// What a tensor is stored as: floats, or as it was.
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
class WeightsFile final : public Source {
 public:
  WeightsFile(std::shared_ptr<const WeightSource> weights, uint32_t mode)
      : weights_(std::move(weights)), mode_(mode) {
    std::vector<io::TensorInfo> all;
    for (const std::string& name : weights_->names()) {
      const form::FormPtr form = form_of(name);
      all.push_back({name, type_of(*form), shape_of(name, form->shape())});
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
  form::FormPtr form_of(const std::string& name) const {
    form::FormPtr form = weights_->form(name);
    if (!form) fail(ErrorKind::kData, "{}: tensor {} is missing", weights_->where(), name);
    return form;
  }

  // The one that was asked for last is at hand.
  ByteView tensor(const io::TensorRegion& region) {
    if (made_ == region.name) return bytes_;
    const std::vector<float> values = form::decode(*form_of(region.name)).values;
    bytes_.resize(region.size);
    elements_from(values, region.dtype, false, bytes_);
    made_ = region.name;
    return bytes_;
  }

  std::shared_ptr<const WeightSource> weights_;
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

bool is_file(const Input& input, std::string_view name) {
  const std::string_view path = input.path;
  return input.source && path.substr(path.rfind('/') + 1) == name;
}

// Not in a folder below the model's.
bool is_top(const Input& input) { return std::ranges::count(input.path, '/') <= 1; }

}  // namespace

std::vector<Input> with_config(std::vector<Input> inputs, const EditConfig& edit) {
  bool is_edited = false;
  for (Input& input : inputs) {
    if (!is_file(input, "config.json") || !is_top(input)) continue;
    const Buffer config =
        input.source->get(0, std::min(input.source->size().value_or(0), kMostConfig));
    input.source = std::make_shared<OwnBytes>(edit(config.bytes), input.source->mode());
    is_edited = true;
  }
  if (!is_edited) {
    fail(ErrorKind::kUsage,
         "what is done to the model changes config.json too: name the model's folder");
  }
  return inputs;
}

ChangedInputs::ChangedInputs(std::vector<Input> inputs, const std::vector<std::string>& names)
    : inputs_(std::move(inputs)) {
  for (const Input& input : inputs_) {
    if (!input.source) continue;
    bytes_ += input.source->size().value_or(0);
    const io::Layout layout = input.source->layout();
    if (layout.format == "gguf") {
      fail(ErrorKind::kUsage,
           "{}: models of safetensors are changed before they are compressed; a GGUF file is not",
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
    fail(ErrorKind::kUsage, "there are no safetensors of a model to change");
  }
}

ChangedModel ChangedInputs::with(const std::shared_ptr<const WeightSource>& weights,
                                 const EditConfig& edit) && {
  ChangedModel made{model::make_model(*weights), {}, weights_, bytes_};
  bool is_there = false;
  for (Input& input : inputs_) {
    if (std::ranges::find(parts_, input.path) != parts_.end()) {
      if (!std::exchange(is_there, true)) made.inputs.push_back(file(weights, input));
      continue;
    }
    if (is_file(input, kIndex) && is_top(input) && parts_.size() > 1) continue;
    made.inputs.push_back(std::move(input));
  }
  if (edit) made.inputs = with_config(std::move(made.inputs), edit);
  return made;
}

Input ChangedInputs::file(const std::shared_ptr<const WeightSource>& weights,
                          const Input& first) const {
  std::string path = first.path;
  if (parts_.size() > 1) path.replace(path.rfind('/') + 1, std::string::npos, "model.safetensors");
  return {path, std::make_shared<WeightsFile>(weights, first.source->mode()), first.mode};
}

}  // namespace pith::weights
