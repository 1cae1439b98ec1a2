// How well a language model predicts a text, and how far its predictions are from those of another
// model, as from the same one before it was compressed.
//
// The protocol, which the result repeats: the text is cut into windows of `context` predictions
// each. A window is read from an empty memory. With bos, its inputs are bos and its tokens but the
// last, and each of its tokens is predicted; without, its inputs are its tokens, and those behind
// each are predicted (the text's first token never is). Of each window the first `skip_first`
// predictions are not scored. Windows begin `stride` tokens apart; where they overlap, a token
// counts in the first window that predicts it. What is left at the end of the text and fills no
// window is not scored.
//
//   llama.cpp's perplexity: context 512, skip_first 256 (but for one token of each window)
//   peers that score whole windows: skip_first 0
//
// Losses are in nats. The Kullback-Leibler divergence at a token is that of the model's
// distribution from the reference's: the sum of p (log p - log q), p the reference's.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "pith/audit/statistics.h"
#include "pith/base/progress.h"
#include "pith/form/matrix.h"

namespace pith::model {
class Session;
}

namespace pith::audit {

// What predicts: a session, or anything else with logits.
struct LogitSource {
  uint64_t vocabulary = 0;
  // Reads ids at positions from `position` on, forgetting what was read there and behind; the
  // logits, a row for each id, are valid until the next call, and only needed if `wanted`.
  std::function<form::MatrixView(std::span<const int32_t> ids, uint64_t position, bool wanted)>
      feed;
};
// The session outlives it, and has room for the context. at_a_time: the most ids that it reads in
// one go, where that matters: to a session whose past lies in forms; 0: all.
LogitSource logits_of(model::Session& session, uint64_t at_a_time = 0);

struct Prediction {
  double loss = 0;        // of the token that stands there, nats
  int32_t best = 0;       // what was thought most probable, and
  double confidence = 0;  // how probable
};

// A token that counts, predicted by the model and by the reference.
struct ScoredToken {
  uint64_t index = 0, window = 0;  // in the text; which window
  int32_t token = 0;
  double divergence = 0;  // nats
  Prediction model, reference;
};

struct PerplexityOptions {
  uint64_t context = 512;           // predictions in a window; at least 1
  uint64_t stride = 0;              // 1 … context; 0: context
  uint64_t skip_first = 0;          // below context
  uint64_t max_windows = 0;         // 0: all
  std::optional<int32_t> bos = {};  // unset: windows begin with text
  uint64_t changed = 10;            // how many of the tokens that changed most are kept
  int threads = 1;
  Progress progress = {};  // in predictions
  // Called with every token that counts, in order, where there is a reference.
  std::function<void(const ScoredToken&)> each = {};
};

// A mean over tokens.
struct Measured {
  double mean = 0;
  std::optional<double> token_error;   // standard error, were tokens independent
  std::optional<double> window_error;  // that of the means of windows, which is the safer
  std::optional<Interval> interval;    // 95%, from resampling windows
};

struct Loss {
  Measured loss;  // nats for a token
  double perplexity() const;
  // What one standard error of the loss (of windows, else of tokens) adds to the perplexity.
  std::optional<double> perplexity_error() const;
};

struct ChangedToken {
  uint64_t index = 0;                                 // of the predicted token in the text
  int32_t token = 0;                                  // what stands there
  double divergence = 0;                              // nats
  double reference_probability = 0, probability = 0;  // of that token
  int32_t reference_best = 0, best = 0;               // what each model thought most probable
};

// Of the model from the reference.
struct Divergence {
  Measured kl;
  double median = 0, p90 = 0, p99 = 0, p999 = 0, max = 0;
  Measured same_best;        // 1 where both have the same most probable token, else 0
  Measured loss_difference;  // model's minus reference's, in pairs
  // Of the probability of the token that stands there, the model's minus the reference's.
  double mean_change = 0, mean_absolute_change = 0, root_mean_square_change = 0;
  std::vector<ChangedToken> changed;  // by divergence, largest first
};

struct Evaluation {
  uint64_t tokens = 0, windows = 0, scored = 0;  // of the text; read; predictions that count
  uint64_t context = 0, stride = 0, skip_first = 0;
  bool bos = false;
  Loss model;
  std::optional<Loss> reference;
  std::optional<Divergence> divergence;
};

// A text of fewer predictions than a window is one window. Throws ErrorKind::kUsage for options
// outside their ranges, texts of less than two tokens and models of different vocabularies,
// ErrorKind::kData where a logit is not finite. Memory: the logits of some positions at a time, and
// six numbers for each token.
Evaluation evaluate(const LogitSource& model, std::span<const int32_t> ids,
                    const PerplexityOptions& options, const LogitSource* reference = nullptr);

}  // namespace pith::audit
