// What a cache of keys and values loses of what was read with it: prompts, and what follows each,
// predicted token by token, beside the same model with a full cache.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/kv/chunk_coding.h"
#include "pith/kv/options.h"
#include "pith/model/language_model.h"

namespace pith::audit {

struct Trial {
  std::vector<int32_t> prompt, follows;  // at least one token each; what follows is predicted
  // Between them: read when tokens have left after the prompt, and not predicted. Caches with
  // `prompts=asked` know it before, and read the prompt as Session::feed_asked() does.
  std::vector<int32_t> question = {};
};

// How a prompt is read; what follows is read kCachedReading tokens at a time.
enum class Reading : uint8_t {
  kPieces,  // likewise: tokens leave the window while it is read (prefill)
  kWhole,   // in one piece, which sees itself as it is; then tokens leave (decode)
};

// A cache that lies as it is, but for the tokens behind its window, which have been through a
// coding `chunk` tokens together, all heads of them: what is stored, and read again. The rotation
// that a stream undoes is the model's.
struct ChunkedCache {
  kv::ChunkCoding coding;
  uint64_t window = 32, chunk = 64;
};
using TrialCache = std::variant<kv::CacheOptions, ChunkedCache>;

struct TrialOutcome {
  uint64_t tokens = 0;    // that follow, of all trials; what comes next are means over them
  double divergence = 0;  // Kullback-Leibler from the full cache, nats
  double loss = 0;        // of the token that stands there, nats
  double same_best = 0;   // share with the full cache's most probable token
  double exact = 0;       // share of trials of which every token was the most probable one
  double bits = 0;  // held for each number read, at the trials' ends; what lies as it is counts 16
};

class CacheTrials {
 public:
  // The trials are read with a full cache, and its logits of what follows kept: 4 bytes times the
  // vocabulary a token. The model outlives it. Throws ErrorKind::kUsage for no trials, one without
  // a prompt or without what follows, and ids outside the vocabulary.
  CacheTrials(const model::LanguageModel& model, std::vector<Trial> trials, int threads = 1);

  // With the full cache: no divergence, 16 bits.
  const TrialOutcome& full() const { return full_; }
  // Throws as Session and ChunkCoding do for caches that the model cannot have, ErrorKind::kData
  // where a logit is not finite.
  TrialOutcome judge(const TrialCache& cache, Reading reading) const;
  // Bits held at the first trial's end; nothing is predicted.
  double bits(const TrialCache& cache, Reading reading) const;

 private:
  class Reader;
  // The logits that predict what follows.
  form::Matrix read(Reader& reader, const Trial& trial, Reading reading) const;
  TrialOutcome compare(const Trial& trial, form::MatrixView logits, form::MatrixView full) const;

  const model::LanguageModel& model_;
  std::vector<Trial> trials_;
  int threads_;
  std::vector<form::Matrix> logits_;  // with the full cache
  TrialOutcome full_;
};

}  // namespace pith::audit
