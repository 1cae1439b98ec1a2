// What can be known of a fit before a text is read for it.
#include <algorithm>
#include <cmath>

#include "candidates.h"
#include "compressor_state.h"
#include "linears.h"
#include "pith/base/error.h"

namespace pith::weights {
namespace {

// "model.layers.3.mlp.up_proj.weight" and the same of other layers and experts.
std::string without_numbers(std::string_view name) {
  std::string out;
  std::ranges::copy_if(name, std::back_inserter(out), [](char c) { return c < '0' || c > '9'; });
  return out;
}

using Visitor = std::function<void(std::string_view name, const form::FormPtr& weight)>;

void each_matrix(const model::LanguageModel& model, const ModelTensors& tensors,
                 const Visitor& visitor) {
  const auto visit = [&](std::string_view name, const form::FormPtr& weight) {
    if (tensors.fits(name)) visitor(name, weight);
  };
  const model::DecoderWeights& w = model.weights();
  visit(kEmbeddingName, w.embedding);
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) visit(l->name, l->weight);
  }
  if (!model.config().tied_embeddings) visit(w.head.name, w.head.weight);
}

// Matrices that are alike in layers and experts, by the first of them.
struct Kind {
  std::string name;
  form::FormPtr weight;
  double count = 1;
  double bytes = INFINITY;  // of one, in the smallest candidate
};

std::vector<Kind> kinds_of(const model::LanguageModel& model, const ModelTensors& tensors) {
  std::vector<Kind> all;
  each_matrix(model, tensors, [&](std::string_view name, const form::FormPtr& weight) {
    const std::string general = without_numbers(name);
    const auto found = std::ranges::find_if(all, [&](const Kind& k) {
      return without_numbers(k.name) == general && k.weight->shape() == weight->shape();
    });
    if (found == all.end()) {
      all.push_back({std::string(name), weight});
    } else {
      found->count += 1;
    }
  });
  return all;
}

// 0: it must be tried whole, and is too large for that.
double bytes_of(const FormCandidate& candidate, const Kind& kind, int threads) {
  constexpr uint64_t kLarge = 1 << 20;  // elements
  if (candidate.whole && kind.weight->shape().size() > kLarge) return 0;
  const form::Matrix matrix = form::decode(*kind.weight);
  const fit::Metric alike;
  CandidateTable table(std::span(&candidate, 1), Proxy::kDivergence, false);
  table.measure({kind.name, matrix.view(), alike, {}, threads},
                [](const FormCandidate& c, const fit::Task& task) {
                  return c.trial ? c.trial(task) : c.fitter(task);
                });
  return table.smallest();
}

}  // namespace

void ModelCompressor::State::check_shapes() const {
  if (options.candidates.empty()) return;
  each_matrix(model, tensors, [&](std::string_view name, const form::FormPtr& weight) {
    std::optional<Error> refusal;
    for (const FormCandidate& c : options.candidates) {
      try {
        if (c.check) c.check(weight->shape());
        return;
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kUsage) throw;
        refusal = e.in(name);
      }
    }
    throw *refusal;
  });
}

// One matrix of each kind stands for all of it, as if all its inputs were alike, which hardly
// matters for what it takes. Candidates come one by one, the smallest mostly first, until it is
// seen that the limit can be met.
void ModelCompressor::State::check_within(const Limits& limits) const {
  constexpr double kDoubt = 1.05;
  const uint64_t most = limit_of_bytes(limits);
  const CurvatureNeeds& needs = options.curvature;
  if (most == UINT64_MAX || needs.output_moments || needs.samples > 0) return;
  std::vector<Kind> all = kinds_of(model, tensors);
  double smallest = 0;
  std::optional<Error> refusal;
  for (const FormCandidate& c : options.candidates) {
    smallest = static_cast<double>(tensors.overhead());
    for (Kind& k : all) {
      try {
        k.bytes = std::min(k.bytes, bytes_of(c, k, options.threads));
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kUsage) throw;
        refusal = e;
      }
      smallest += k.bytes * k.count;
    }
    if (smallest <= kDoubt * static_cast<double>(most)) return;
  }
  if (options.candidates.empty()) return;
  if (std::isinf(smallest)) throw *refusal;
  const auto weights = static_cast<double>(tensors.weights());
  fail(ErrorKind::kUsage,
       "{} bytes are asked for ({:.3f} bits a weight), and the smallest archive that this can make "
       "has about {:.0f} ({:.3f} bits a weight), {} of them for what is not fitted",
       most, 8 * static_cast<double>(most) / weights, smallest, 8 * smallest / weights,
       tensors.overhead());
}

}  // namespace pith::weights
