// What logits say about one token.
#pragma once

#include <cstdint>
#include <span>

namespace pith::audit {

struct TokenScore {
  double loss = 0;         // -log p(token), nats
  double probability = 0;  // of the token
  int32_t best = 0;        // the most probable token; of equals that of the smallest id
  double confidence = 0;   // probability of that one
};

struct TokenComparison {
  TokenScore model, reference;
  double divergence = 0;  // of model from reference, nats; >= 0
};

// The token lies within the logits. Throw ErrorKind::kData where a logit is not finite.
TokenScore score(std::span<const float> logits, int32_t token);
TokenComparison compare(std::span<const float> model, std::span<const float> reference,
                        int32_t token);

}  // namespace pith::audit
