#include "pith/audit/token_scores.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::audit {
namespace {

struct Normalizer {
  int32_t best;
  double log_sum;  // of exp(logits)
};

Normalizer normalizer(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    if (!std::isfinite(logit)) {
      fail(ErrorKind::kData, "the model gives a logit of {}: its weights or sums left the range",
           logit);
    }
    sum += std::exp(static_cast<double>(logit) - *best);
  }
  return {static_cast<int32_t>(best - logits.begin()), *best + std::log(sum)};
}

TokenScore score(std::span<const float> logits, int32_t token, const Normalizer& n) {
  const double loss = n.log_sum - logits[static_cast<size_t>(token)];
  const double best = logits[static_cast<size_t>(n.best)];
  return {loss, std::exp(-loss), n.best, std::exp(best - n.log_sum)};
}

}  // namespace

TokenScore score(std::span<const float> logits, int32_t token) {
  return score(logits, token, normalizer(logits));
}

TokenComparison compare(std::span<const float> model, std::span<const float> reference,
                        int32_t token) {
  const Normalizer q = normalizer(model), p = normalizer(reference);
  const double shift = p.log_sum - q.log_sum;
  double divergence = 0;
  for (size_t i = 0; i < model.size(); ++i) {
    const double log_p = reference[i] - p.log_sum;
    const double difference = static_cast<double>(reference[i]) - model[i] - shift;
    divergence += std::exp(log_p) * difference;
  }
  return {score(model, token, q), score(reference, token, p), std::max(divergence, 0.0)};
}

}  // namespace pith::audit
