// Kullback-Leibler divergence between the distributions that two rows of logits stand for.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace pith::weights {

inline double log_sum(std::span<const float> logits) {
  const float top = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - top);
  return top + std::log(sum);
}

// The sum of p (log p - log q).
inline double logit_divergence(std::span<const float> p, std::span<const float> q) {
  const double all_p = log_sum(p), all_q = log_sum(q);
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = p[i] - all_p;
    sum += std::exp(static_cast<float>(log_p)) * (log_p - (q[i] - all_q));
  }
  return sum;
}

}  // namespace pith::weights
