#include "pith/audit/cache_trials.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "pith/audit/evaluate_text.h"
#include "pith/audit/token_scores.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/axes_profile.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

using form::Matrix;
using form::MatrixView;
using model::Logits;
using model::Session;

uint64_t positions(const Trial& t) {
  return t.prompt.size() + t.question.size() + t.follows.size();
}

// Whether the cache is to know what will be asked.
bool knows_question(const kv::CacheOptions& cache, const Trial& trial) {
  return cache.prompts == kv::Prompts::kAsked && !trial.question.empty();
}

kv::CacheOptions read_as(kv::CacheOptions cache, const Trial& trial, Reading reading) {
  if (knows_question(cache, trial)) return cache;
  cache.prompts = reading == Reading::kWhole ? kv::Prompts::kWhole : kv::Prompts::kPieces;
  return cache;
}

// Sums, as they come.
void add(TrialOutcome& sum, const TrialOutcome& one) {
  sum.tokens += one.tokens;
  sum.divergence += one.divergence;
  sum.loss += one.loss;
  sum.same_best += one.same_best;
  sum.exact += one.exact;
  sum.bits += one.bits;
}

TrialOutcome means(TrialOutcome sum, size_t trials) {
  const auto tokens = static_cast<double>(sum.tokens), count = static_cast<double>(trials);
  sum.divergence /= tokens;
  sum.loss /= tokens;
  sum.same_best /= tokens;
  sum.exact /= count;
  sum.bits /= count;
  return sum;
}

}  // namespace

// A session with such a cache.
class CacheTrials::Reader {
 public:
  Reader(const CacheTrials& of, const Trial& trial)
      : session_(of.model_, positions(trial), of.threads_) {}
  Reader(const CacheTrials& of, const Trial& trial, const TrialCache& cache, Reading reading)
      : session_(of.model_, positions(trial), of.threads_, 0, in_session(cache, trial, reading)),
        chunked_(chunked(of.model_, cache)),
        knows_question_(knows(cache, trial)),
        threads_(of.threads_) {
    if (chunked_ && chunked_->chunk == 0) fail(ErrorKind::kUsage, "chunks of no tokens");
  }

  MatrixView feed(std::span<const int32_t> ids, Logits logits) {
    settle();
    return session_.feed(ids, logits);
  }
  void feed_in_pieces(std::span<const int32_t> ids) {
    for (uint64_t at = 0; at < ids.size(); at += kCachedReading)
      feed(ids.subspan(at, std::min<uint64_t>(kCachedReading, ids.size() - at)), Logits::kNone);
  }
  // Up to what follows, of whose first token these are the logits.
  std::span<const float> read_prompt(const Trial& trial, Reading reading);
  double held();

 private:
  static std::optional<kv::CacheOptions> in_session(const TrialCache& cache, const Trial& trial,
                                                    Reading reading) {
    const auto* options = std::get_if<kv::CacheOptions>(&cache);
    return options ? std::optional(read_as(*options, trial, reading)) : std::nullopt;
  }
  static std::optional<ChunkedCache> chunked(const model::LanguageModel& model,
                                             const TrialCache& cache) {
    const auto* given = std::get_if<ChunkedCache>(&cache);
    if (!given) return std::nullopt;
    ChunkedCache out = *given;
    out.coding = out.coding.with_rotation(model::rotation_of(model.config()));
    return out;
  }
  static bool knows(const TrialCache& cache, const Trial& trial) {
    const auto* options = std::get_if<kv::CacheOptions>(&cache);
    return options && knows_question(*options, trial);
  }
  void settle();

  Session session_;
  std::optional<ChunkedCache> chunked_;
  bool knows_question_ = false;
  int threads_ = 1;
  uint64_t settled_ = 0;   // tokens that have been through the coding
  double coded_bits_ = 0;  // of these
};

std::span<const float> CacheTrials::Reader::read_prompt(const Trial& trial, Reading reading) {
  std::span<const int32_t> last = trial.question.empty() ? trial.prompt : trial.question;
  if (knows_question_) {
    session_.feed_asked(trial.prompt, trial.question);
  } else if (!trial.question.empty() && reading == Reading::kPieces) {
    feed_in_pieces(trial.prompt);
  } else if (!trial.question.empty()) {
    feed(trial.prompt, Logits::kNone);
  }
  if (reading == Reading::kPieces) {
    const uint64_t before = (last.size() - 1) / kCachedReading * kCachedReading;
    feed_in_pieces(last.first(before));
    last = last.subspan(before);
  }
  return feed(last, Logits::kLast).row(0);
}

// What lies behind those that leave is put where it was.
void CacheTrials::Reader::settle() {
  if (!chunked_) return;
  while (session_.position() >= settled_ + chunked_->chunk + chunked_->window) {
    const uint64_t next = settled_ + chunked_->chunk;
    const Bytes coded =
        chunked_->coding.encode(session_.keys_values(settled_, chunked_->chunk), threads_);
    const kv::Arrays rest = session_.keys_values(next, session_.position() - next);
    session_.rewind(settled_);
    session_.adopt(kv::decode_chunk(coded, chunked_->coding.profile(), threads_));
    session_.adopt(rest);
    coded_bits_ += 8 * static_cast<double>(coded.size());
    settled_ = next;
  }
}

double CacheTrials::Reader::held() {
  settle();
  const auto read = static_cast<double>(session_.read_numbers());
  if (!chunked_) return static_cast<double>(session_.held_bits()) / read;
  const double settled = static_cast<double>(settled_) / static_cast<double>(session_.position());
  return coded_bits_ / read + 16 * (1 - settled);
}

CacheTrials::CacheTrials(const model::LanguageModel& model, std::vector<Trial> trials, int threads)
    : model_(model), trials_(std::move(trials)), threads_(thread_count(threads)) {
  if (trials_.empty()) fail(ErrorKind::kUsage, "there are no trials");
  for (const Trial& t : trials_) {
    if (t.prompt.empty() || t.follows.empty())
      fail(ErrorKind::kUsage, "a trial without a prompt or without what follows");
    const auto outside = [&](int32_t id) {
      return id < 0 || static_cast<uint32_t>(id) >= model.config().vocabulary;
    };
    if (std::ranges::any_of(t.follows, outside))
      fail(ErrorKind::kUsage, "an id outside the vocabulary follows");
  }
  for (const Trial& t : trials_) {
    Reader reader(*this, t);
    logits_.push_back(read(reader, t, Reading::kWhole));
    TrialOutcome one = compare(t, logits_.back().view(), logits_.back().view());
    one.bits = 16;
    add(full_, one);
  }
  full_ = means(full_, trials_.size());
}

TrialOutcome CacheTrials::judge(const TrialCache& cache, Reading reading) const {
  TrialOutcome sum;
  for (size_t i = 0; i < trials_.size(); ++i) {
    Reader reader(*this, trials_[i], cache, reading);
    const Matrix logits = read(reader, trials_[i], reading);
    TrialOutcome one = compare(trials_[i], logits.view(), logits_[i].view());
    one.bits = reader.held();
    add(sum, one);
  }
  return means(sum, trials_.size());
}

double CacheTrials::bits(const TrialCache& cache, Reading reading) const {
  const Trial& t = trials_.front();
  Reader reader(*this, t, cache, reading);
  reader.read_prompt(t, reading);
  reader.feed_in_pieces(std::span(t.follows).first(t.follows.size() - 1));
  return reader.held();
}

Matrix CacheTrials::read(Reader& reader, const Trial& trial, Reading reading) const {
  Matrix logits({trial.follows.size(), model_.config().vocabulary});
  std::ranges::copy(reader.read_prompt(trial, reading), logits.row(0).begin());
  const std::span<const int32_t> rest = std::span(trial.follows).first(trial.follows.size() - 1);
  for (uint64_t at = 0; at < rest.size(); at += kCachedReading) {
    const uint64_t n = std::min<uint64_t>(kCachedReading, rest.size() - at);
    const MatrixView rows = reader.feed(rest.subspan(at, n), Logits::kAll);
    std::copy_n(rows.data, rows.shape.size(), logits.row(at + 1).data());
  }
  return logits;
}

TrialOutcome CacheTrials::compare(const Trial& trial, MatrixView logits, MatrixView full) const {
  std::vector<TokenComparison> found(trial.follows.size());
  parallel_for(threads_, found.size(), [&](size_t i) {
    found[i] = audit::compare(logits.row(i), full.row(i), trial.follows[i]);
  });
  TrialOutcome out{.tokens = found.size(), .exact = 1};
  for (size_t i = 0; i < found.size(); ++i) {
    out.divergence += found[i].divergence;
    out.loss += found[i].model.loss;
    out.same_best += found[i].model.best == found[i].reference.best ? 1 : 0;
    if (found[i].model.best != trial.follows[i]) out.exact = 0;
  }
  return out;
}

}  // namespace pith::audit
