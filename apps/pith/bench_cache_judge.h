// What a language model makes of a cache that is not quite its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pith/kv/arrays.h"
#include "pith/model/session.h"

namespace pith::bench {

// Of the positions that follow what was read.
struct Continuation {
  double divergence = 0;  // Kullback-Leibler, nats a token, from the model with its own cache
  double same_best = 0;   // share of positions with the same most probable token
  double loss = 0;        // nats by which the text's tokens are less probable, a token
};

class CacheJudge {
 public:
  // Windows of a text, one after the other: the first half is read, the second predicted.
  CacheJudge(const model::LanguageModel& model, const std::string& text, uint64_t windows,
             uint64_t length, int threads);

  using Change = std::function<kv::Arrays(const kv::Arrays&)>;
  // The caches of the first halves, changed, are what the second halves are read with.
  Continuation judge(const Change& change) const;
  const std::vector<kv::Arrays>& caches() const { return caches_; }

 private:
  form::MatrixView read_rest(model::Session& session, uint64_t window) const;

  const model::LanguageModel& model_;
  uint64_t length_;
  int threads_;
  std::vector<std::vector<int32_t>> ids_;
  std::vector<kv::Arrays> caches_;
  std::vector<std::vector<float>> logits_;  // of the second halves
};

// The caches of so many stretches of a text.
std::vector<kv::Arrays> caches_of(const model::LanguageModel& model, const std::string& text,
                                  uint64_t count, uint64_t length, int threads);

}  // namespace pith::bench
