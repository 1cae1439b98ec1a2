// The next token, drawn from a model's logits.
//
//   Sampler sampler({.temperature = 0.7, .seed = 1});
//   sampler.accept(prompt_ids);
//   const int32_t id = sampler.sample(logits);   // then sampler.accept({&id, 1})
//
// The steps, in this order, each off at the value in brackets:
//
//   1. logit bias: added to the logits of the ids it names;
//   2. penalties on the ids among the last `penalty_window` accepted ones: repeat (1) divides a
//      positive logit and multiplies a negative one (CTRL, arXiv 1909.05858); frequency (0) is
//      taken off once for each occurrence, presence (0) once;
//   3. temperature 0: the largest logit, of equal ones that of the smallest id; nothing below
//   counts;
//   4. top-k (0): the k largest logits (arXiv 1805.04833);
//   5. typical (1): the smallest set of tokens of at least this probability, those first whose
//      surprise is nearest to the distribution's entropy (arXiv 2202.00666);
//   6. top-p (1): the smallest set of the most probable tokens of at least this probability
//      (arXiv 1904.09751);
//   7. min-p (0): tokens of at least this part of the largest probability (arXiv 2407.01082);
//   8. temperature (1): logits are divided by it; then one token is drawn.
//
// At least one token is always left. Probabilities of steps 5 to 7 are those before the
// temperature, renormalized after each step, as llama.cpp does it. Same seed, same logits: same
// tokens on every machine; draws come from a counter and probabilities from arithmetic that IEEE
// 754 defines.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

namespace pith::model {

struct SamplerOptions {
  double temperature = 0.8;                                 // >= 0
  uint32_t top_k = 40;                                      // 0: all
  double typical = 1;                                       // in (0, 1]
  double top_p = 0.95;                                      // in (0, 1]
  double min_p = 0.05;                                      // in [0, 1]
  double repeat_penalty = 1;                                // > 0
  double frequency_penalty = 0;                             // any finite number
  double presence_penalty = 0;                              // any finite number
  uint32_t penalty_window = 64;                             // tokens
  std::vector<std::pair<int32_t, double>> logit_bias = {};  // finite, or -infinity: never this id
  uint64_t seed = 0;
};

class Sampler {
 public:
  struct Candidate {
    int32_t id;
    double logit;
    double probability;  // of being drawn
  };

  // Throws ErrorKind::kUsage for an option outside its range.
  explicit Sampler(SamplerOptions options);

  // A token of 0 … logits.size() - 1. Logits of -infinity are never drawn. Throws ErrorKind::kData
  // where a logit is NaN or +infinity, or none is finite.
  int32_t sample(std::span<const float> logits);

  // Tokens that became part of the text, for the penalties: the prompt's, and each one drawn.
  void accept(std::span<const int32_t> ids);

  // What the last sample() drew from: the tokens that were left, the most probable first.
  std::span<const Candidate> candidates() const { return candidates_; }

 private:
  void add_bias();
  void penalize();
  void gather(size_t k);
  void keep_typical();
  void keep_top_p();
  void keep_probability(double wanted);
  void keep_min_p();
  void softmax(double temperature);

  SamplerOptions options_;
  std::deque<int32_t> recent_;
  std::vector<float> adjusted_;  // logits after the bias and the penalties
  std::vector<Candidate> candidates_;
  uint64_t draws_ = 0;
};

}  // namespace pith::model
