#include "model_tensors.h"

#include <utility>

#include "linears.h"
#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/form/compose.h"

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

}  // namespace

ModelTensors::ModelTensors(const model::LanguageModel& model,
                           std::span<const archive::Input> inputs,
                           const std::vector<archive::FormRule>& rules, int threads) {
  const auto matrices = matrices_of(model);
  const archive::FormRules decided(rules);
  for (const archive::Input& input : inputs) {
    if (!input.source) continue;
    input_bytes_ += input.source->size().value_or(0);
    for (const io::TensorRegion& region : input.source->layout().tensors) {
      if (!has_float_elements(region.dtype)) continue;
      const Shape shape = archive::matrix_shape(region);
      weights_ += shape.size();
      const auto found = matrices.find(region.name);
      if (found == matrices.end() || shape != found->second || decided.rule(region)) continue;
      const auto [at, is_new] = places_.try_emplace(region.name);
      if (is_new || is_model_file(input.path)) at->second = {input.path, shape.size()};
    }
  }
  if (places_.empty()) {
    fail(ErrorKind::kUsage, "{}: there are no matrices of the model to fit{}", model.where(),
         rules.empty() ? "" : " but those that other options decide");
  }
  measure_overhead(inputs, rules, threads);
}

const ModelTensors::Place* ModelTensors::find(std::string_view path, std::string_view name) const {
  const auto at = places_.find(name);
  return at != places_.end() && at->second.path == path ? &at->second : nullptr;
}

ModelTensors::FormOf ModelTensors::stored_as(FormsByName forms) const {
  return [*this, forms = std::move(forms)](std::string_view path,
                                           const io::TensorRegion& region) -> FormPtr {
    if (!find(path, region.name)) return nullptr;
    const auto form = forms.find(region.name);
    return form == forms.end() ? nullptr : form->second;
  };
}

void ModelTensors::measure_overhead(std::span<const archive::Input> inputs,
                                    const std::vector<archive::FormRule>& rules, int threads) {
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
      inputs, [](ByteView) {}, write);
  // Frames begin at multiples of 64 bytes.
  overhead_ = report.stored - taken + 64 * places_.size();
}

}  // namespace pith::weights
