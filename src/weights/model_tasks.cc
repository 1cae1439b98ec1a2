#include "model_tasks.h"

#include "importance.h"
#include "linears.h"
#include "pith/form/matrix.h"
#include "pith/weights/layer_walk.h"

namespace pith::weights {

using fit::Metric;
using form::FormPtr;

FormPtr ModelTasks::visit(std::string_view name, const FormPtr& weight, const Metric& metric,
                          const FitOne& fit_one) {
  if (!tensors_.fits(name)) return nullptr;
  const form::Matrix matrix = form::decode(*weight);
  const Importance importance(statistics_ ? &*statistics_ : nullptr);
  Importance::Rows rows;
  if (name == kEmbeddingName) {
    rows = importance.embedding(matrix.view(), model_.config().tied_embeddings, metric);
  } else {
    rows = {metric, importance.outputs(name, matrix.view())};
  }
  return fit_one({.name = name,
                  .weights = matrix.view(),
                  .inputs = rows.metric,
                  .outputs = rows.outputs,
                  .threads = threads_,
                  .output_moments = curvature_ ? curvature_->output_moments(name) : nullptr,
                  .curvature = curvature_ ? curvature_->of_samples(name) : nullptr});
}

void ModelTasks::weights_alone(const FitOne& fit_one, const Progress& progress) {
  const Metric nothing;
  uint64_t done = 0;
  const auto each = [&](std::string_view name, const FormPtr& weight) {
    visit(name, weight, nothing, fit_one);
    report(progress, done += weight->shape().size(), tensors_.weights());
  };
  const model::DecoderWeights& w = model_.weights();
  each(kEmbeddingName, w.embedding);
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) each(l->name, l->weight);
  }
  if (!model_.config().tied_embeddings) each(w.head.name, w.head.weight);
}

Metric ModelTasks::head_inputs() const {
  if (looked_at_) return *looked_at_;
  const TensorStatistics* head = statistics_ ? statistics_->find(kEmbeddingName) : nullptr;
  return head && head->inputs ? head->inputs->metric() : Metric();
}

void ModelTasks::walk(const FitOne& fit_one, bool only_look, const Progress& progress) {
  const bool tied = model_.config().tied_embeddings;
  if (!curvature_ && statistics_) {
    curvature_.emplace(
        model_, *text_, *statistics_, needs_,
        [this](std::string_view name) { return tensors_.fits(name); }, threads_);
  }
  // How much a matrix will take shows on less text than what it becomes.
  constexpr uint64_t kLookedAt = 8192;
  walk_layers(model_, only_look ? some_windows(*text_, kLookedAt) : *text_,
              [&](const Visit& v) -> FormPtr {
                if (v.role == Role::kHead && only_look) looked_at_ = v.inputs;
                if (v.role == Role::kHead && tied) {
                  return only_look ? visit(kEmbeddingName, v.weight, v.inputs, fit_one) : nullptr;
                }
                if (v.role != Role::kEmbedding) return visit(v.name, v.weight, v.inputs, fit_one);
                return only_look && tied
                           ? nullptr
                           : visit(v.name, v.weight, tied ? head_inputs() : Metric(), fit_one);
              },
              {.threads = threads_, .only_look = only_look, .progress = progress});
}

void ModelTasks::look(const std::function<void(const fit::Task&)>& visitor,
                      const Progress& progress) {
  const FitOne look_only = [&](const fit::Task& task) -> FormPtr {
    visitor(task);
    return nullptr;
  };
  text_ ? walk(look_only, true, progress) : weights_alone(look_only, progress);
}

void ModelTasks::fit(const FitOne& fit_one, const Progress& progress) {
  text_ ? walk(fit_one, false, progress) : weights_alone(fit_one, progress);
}

}  // namespace pith::weights
