#include "held_out.h"

#include <algorithm>

#include "linears.h"
#include "pith/base/parallel.h"
#include "pith/model/session.h"

namespace pith::weights {

using model::LanguageModel;

namespace {

// Windows that are measured: of models that take long, fewer.
constexpr uint64_t kMostWindows = 16, kFewestWindows = 4;
constexpr double kWork = 2e12;  // products with weights

uint64_t windows(const LanguageModel& model, uint64_t context) {
  const model::DecoderWeights& w = model.weights();
  uint64_t weights = w.head.weight->shape().size();
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) weights += l->weight->shape().size();
  }
  const double affordable = kWork / (static_cast<double>(weights) * static_cast<double>(context));
  return affordable >= kMostWindows ? kMostWindows
                                    : std::max(static_cast<uint64_t>(affordable), kFewestWindows);
}

}  // namespace

LanguageModel with_weights(const LanguageModel& model, const FormsByName& forms) {
  return with_weights(model, forms, model.config().expert_thresholds);
}

LanguageModel with_weights(const LanguageModel& model, const FormsByName& forms,
                           std::vector<model::ExpertThresholds> thresholds) {
  LanguageModel::Parts parts{.config = model.config(),
                             .weights = model.weights(),
                             .tokenizer = std::nullopt,
                             .tokenizer_error = {},
                             .where = model.where(),
                             .weight_bytes = 0,
                             .releaser = [] {}};
  parts.config.expert_thresholds = std::move(thresholds);
  const auto replace = [&](std::string_view name, form::FormPtr& form) {
    const auto found = forms.find(name);
    if (found != forms.end()) form = found->second;
  };
  model::DecoderWeights& w = parts.weights;
  replace(kEmbeddingName, w.embedding);
  for (model::DecoderLayer& layer : w.layers) {
    for (model::Linear* l : linears(layer)) replace(l->name, l->weight);
  }
  replace(w.head.name, w.head.weight);
  return LanguageModel(std::move(parts));
}

std::optional<HeldOut> measure_held_out(const LanguageModel& model, const FormsByName& forms,
                                        const CalibrationText& text, int threads,
                                        const Progress& progress) {
  return measure_held_out(model, with_weights(model, forms), text, threads, progress);
}

std::optional<HeldOut> measure_held_out(const LanguageModel& model, const LanguageModel& small,
                                        const CalibrationText& text, int threads,
                                        const Progress& progress) {
  const std::vector<int32_t>& ids = text.held_out;
  if (ids.size() < 2) return std::nullopt;
  const uint64_t context = std::min<uint64_t>(text.length, ids.size() - 1);
  audit::PerplexityOptions o{.context = context,
                             .max_windows = windows(model, context),
                             .changed = 0,
                             .threads = thread_count(threads),
                             .progress = progress};
  if (text.begins_with_bos) o.bos = model.tokenizer()->bos();
  model::Session session(small, o.context + 1, o.threads);
  model::Session before(model, o.context + 1, o.threads, session.needed_bytes());
  const audit::LogitSource made = audit::logits_of(session), was = audit::logits_of(before);
  const audit::Evaluation e = audit::evaluate(made, ids, o, &was);
  return HeldOut{.tokens = e.scored,
                 .divergence = e.divergence->kl.mean,
                 .perplexity = e.model.perplexity(),
                 .perplexity_before = e.reference->perplexity(),
                 .same_best = e.divergence->same_best.mean};
}

}  // namespace pith::weights
