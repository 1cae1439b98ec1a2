// How much items matter, by different measures: one number each, larger is dearer. In the
// notation of policies:
//
//   attention, attention(mean), attention(latest=32)   what queries gave:
//   pith/select/attention_record.h norm           keys of small norm get attention (Devoto et al.
//   2024): minus the length relevance      the largest cosine with a query unlikeness     1 minus
//   the largest cosine with an item that comes later: what is repeated
//                  later is redundant (R-KV: Cai et al. 2025)
//   diversity      1 minus the mean cosine with all items (the mean key: KeyDiff, Park et al. 2025)
//   recency        the place in the sequence
//   a + b, a * b   each first in units of its largest value less its least
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/expression.h"
#include "pith/select/attention_record.h"

namespace pith::select {

// A sequence and what is known of it. Views must outlive the call that takes them.
struct Items {
  uint64_t count = 0;
  form::MatrixView vectors = {};               // count rows: keys, embeddings
  form::MatrixView queries = {};               // of as many columns; any number of rows
  const AttentionRecord* attention = nullptr;  // of count items
  uint64_t layer = 0, layers = 1;              // the place among sequences that share a budget
};

// `count` numbers, finite. Throws ErrorKind::kUsage for a score that there is not and for what it
// needs and the items do not have, with the place in the text; kData for vectors that are not
// finite.
std::vector<float> score(const form::Expression& expression, const Items& items);

// Von Neumann entropy, in nats, of the vectors' second moments with trace 1, over their k largest
// eigenvalues (UNComp: Xiong et al. 2024); k 0: up to the elbow, the eigenvalue farthest below the
// line from the first to the last. Of no vectors or zeros: 0.
double matrix_entropy(form::MatrixView vectors, uint64_t k = 0);
// The same of `count` vectors of which these are the second moments: width x width, of any scale.
double matrix_entropy_of_moments(std::span<const float> moments, uint64_t width, uint64_t count,
                                 uint64_t k = 0);

}  // namespace pith::select
