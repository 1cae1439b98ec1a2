#include "held_out.h"

#include <algorithm>

#include "linears.h"
#include "pith/base/parallel.h"
#include "pith/model/session.h"

namespace pith::weights {

using model::LanguageModel;

namespace {

constexpr uint64_t kWindows = 16;  // that are measured

}  // namespace

LanguageModel with_weights(const LanguageModel& model, const FormsByName& forms) {
  LanguageModel::Parts parts{.config = model.config(),
                             .weights = model.weights(),
                             .tokenizer = std::nullopt,
                             .tokenizer_error = {},
                             .where = model.where(),
                             .weight_bytes = 0};
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
  const std::vector<int32_t>& ids = text.held_out;
  if (ids.size() < 2) return std::nullopt;
  const LanguageModel small = with_weights(model, forms);
  audit::PerplexityOptions o{.context = std::min<uint64_t>(text.length, ids.size() - 1),
                             .max_windows = kWindows,
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
