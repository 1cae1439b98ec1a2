#include "model_tensors.h"

#include <algorithm>
#include <utility>

#include "linears.h"
#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/form/compose.h"
#include "pith/model/tensor_names.h"

namespace pith::weights {

using form::FormPtr;
using form::Shape;

namespace {

// Of several files with the same tensors, the model's.
bool is_model_file(const std::filesystem::path& path) {
  return path.filename().string().starts_with("model");
}

std::map<std::string, Shape, std::less<>> matrices_of(const model::LanguageModel& model) {
  std::map<std::string, Shape, std::less<>> matrices;
  const model::DecoderWeights& w = model.weights();
  matrices.emplace(kEmbeddingName, w.embedding->shape());
  const auto add = [&](const model::Linear& l) { matrices.emplace(l.name, l.weight->shape()); };
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) add(*l);
  }
  if (!model.config().tied_embeddings) add(w.head);
  return matrices;
}

uint64_t elements_of(const io::TensorRegion& region) {
  const DTypeInfo& type = info(region.dtype);
  const bool numbers = has_float_elements(region.dtype) || type.kind == NumberKind::kBlock;
  return numbers ? region.size / type.block_bytes * type.block_elements : 0;
}

// What a tensor of a file holds of the model; nothing where it is not as the model has it.
std::vector<std::string> weights_in(const std::string& format, const io::TensorRegion& region,
                                    const std::map<std::string, Shape, std::less<>>& matrices,
                                    const model::DecoderConfig& config) {
  std::vector<std::string> names = {region.name};
  if (format == "gguf") names = model::weights_in_gguf(region.name, config);
  const uint64_t cols = region.shape.empty() ? 0 : region.shape.back();
  uint64_t elements = 0;
  for (const std::string& name : names) {
    const auto found = matrices.find(name);
    if (found == matrices.end() || found->second.cols != cols) return {};
    elements += found->second.size();
  }
  return elements == elements_of(region) ? names : std::vector<std::string>();
}

// A GGUF file of a set has the tensors of some layers, and only the first says what the model is.
void refuse_parts(const archive::Input& input, const io::Layout& layout) {
  if (layout.format != "gguf") return;
  for (const auto& [key, text] : layout.metadata) {
    if (key != "split.count" || text == "1" || text == "0") continue;
    fail(ErrorKind::kUsage, "{}: one of {} files of a model, which is not fitted in parts",
         input.path, text);
  }
}

// As if its blocks were elements, which rules take.
const archive::FormRule* rule_of(const archive::FormRules& rules, io::TensorRegion region) {
  if (info(region.dtype).kind == NumberKind::kBlock) region.dtype = DType::kF16;
  return rules.rule(region);
}

}  // namespace

ModelTensors::ModelTensors(const model::LanguageModel& model, std::vector<archive::Input> inputs,
                           const std::vector<archive::FormRule>& rules, int threads)
    : inputs_(std::move(inputs)) {
  const Matrices matrices = matrices_of(model);
  const archive::FormRules decided(rules);
  for (archive::Input& input : inputs_) {
    if (!input.source) continue;
    input_bytes_ += input.source->size().value_or(0);
    input.source = archive::with_elements(input.source, [&](const io::TensorRegion& region) {
      if (weights_in("gguf", region, matrices, model.config()).empty()) return false;
      const archive::FormRule* rule = rule_of(decided, region);
      return !rule || rule->expression.has_value();
    });
    add(input, matrices, decided, model.config());
  }
  if (places_.empty()) {
    fail(ErrorKind::kUsage, "{}: there are no matrices of the model to fit{}", model.where(),
         rules.empty() ? "" : " but those that other options decide");
  }
  measure_overhead(rules, threads);
}

void ModelTensors::add(const archive::Input& input, const Matrices& matrices,
                       const archive::FormRules& rules, const model::DecoderConfig& config) {
  const io::Layout layout = input.source->layout();
  refuse_parts(input, layout);
  for (const io::TensorRegion& region : layout.tensors) {
    weights_ += elements_of(region);
    if (!has_float_elements(region.dtype) || rules.rule(region)) continue;
    std::vector<std::string> names = weights_in(layout.format, region, matrices, config);
    for (const std::string& name : names) {
      const auto [at, is_new] = places_.try_emplace(name);
      if (!is_new && !is_model_file(input.path)) continue;
      at->second = {{input.path, region.name}, matrices.find(name)->second.size()};
    }
    if (!names.empty()) tensors_[{input.path, region.name}] = std::move(names);
  }
}

const std::vector<std::string>* ModelTensors::find(std::string_view path,
                                                   std::string_view tensor) const {
  const Place place{std::string(path), std::string(tensor)};
  const auto at = tensors_.find(place);
  if (at == tensors_.end()) return nullptr;
  const bool here = std::ranges::all_of(
      at->second, [&](const std::string& name) { return places_.at(name).place == place; });
  return here ? &at->second : nullptr;
}

ModelTensors::FormOf ModelTensors::stored_as(FormsByName forms) const {
  return [*this, forms = std::move(forms)](std::string_view path,
                                           const io::TensorRegion& region) -> FormPtr {
    const std::vector<std::string>* names = find(path, region.name);
    if (!names) return nullptr;
    std::vector<FormPtr> parts;
    for (const std::string& name : *names) {
      const auto form = forms.find(name);
      if (form == forms.end()) return nullptr;
      parts.push_back(form->second);
    }
    return form::stack_of(parts);
  };
}

void ModelTensors::measure_overhead(const std::vector<archive::FormRule>& rules, int threads) {
  archive::WriteOptions write;
  write.threads = threads;
  write.forms = rules;
  uint64_t taken = 0;
  write.fitted = [&](std::string_view path, const io::TensorRegion& region) -> FormPtr {
    if (!find(path, region.name)) return nullptr;
    FormPtr form = form::zeros(archive::matrix_shape(region));
    taken += form::bits(*form) / 8;
    return form;
  };
  const archive::WriteReport report = archive::write_archive(
      inputs_, [](ByteView) {}, write);
  // Frames begin at multiples of 64 bytes.
  overhead_ = report.stored - taken + 64 * places_.size();
}

}  // namespace pith::weights
