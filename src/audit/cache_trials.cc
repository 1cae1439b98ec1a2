#include "pith/audit/cache_trials.h"

#include <algorithm>
#include <utility>

#include "pith/audit/evaluate_text.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/session.h"
#include "token_scores.h"

namespace pith::audit {
namespace {

using form::Matrix;
using form::MatrixView;
using model::Logits;
using model::Session;

uint64_t positions(const Trial& t) {
  return t.prompt.size() + t.question.size() + t.follows.size();
}

void feed_in_pieces(Session& session, std::span<const int32_t> ids) {
  for (uint64_t at = 0; at < ids.size(); at += kCachedReading)
    session.feed(ids.subspan(at, std::min<uint64_t>(kCachedReading, ids.size() - at)),
                 Logits::kNone);
}

// Up to what follows, of whose first token these are the logits.
std::span<const float> read_prompt(Session& session, const Trial& trial, Reading reading) {
  std::span<const int32_t> last = trial.question.empty() ? trial.prompt : trial.question;
  if (!trial.question.empty() && reading == Reading::kPieces) {
    feed_in_pieces(session, trial.prompt);
  } else if (!trial.question.empty()) {
    session.feed(trial.prompt, Logits::kNone);
  }
  if (reading == Reading::kPieces) {
    const uint64_t before = (last.size() - 1) / kCachedReading * kCachedReading;
    feed_in_pieces(session, last.first(before));
    last = last.subspan(before);
  }
  return session.feed(last, Logits::kLast).row(0);
}

double held(const Session& session) {
  return static_cast<double>(session.held_bits()) / static_cast<double>(session.read_numbers());
}

kv::CacheOptions read_as(const kv::CacheOptions& cache, Reading reading) {
  kv::CacheOptions out = cache;
  out.whole_prompts = reading == Reading::kWhole;
  return out;
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
    Session session(model_, positions(t), threads_);
    logits_.push_back(read(session, t, Reading::kWhole));
    TrialOutcome one = compare(t, logits_.back().view(), logits_.back().view());
    one.bits = 16;
    add(full_, one);
  }
  full_ = means(full_, trials_.size());
}

TrialOutcome CacheTrials::judge(const kv::CacheOptions& cache, Reading reading) const {
  TrialOutcome sum;
  for (size_t i = 0; i < trials_.size(); ++i) {
    Session session(model_, positions(trials_[i]), threads_, 0, read_as(cache, reading));
    const Matrix logits = read(session, trials_[i], reading);
    TrialOutcome one = compare(trials_[i], logits.view(), logits_[i].view());
    one.bits = held(session);
    add(sum, one);
  }
  return means(sum, trials_.size());
}

double CacheTrials::bits(const kv::CacheOptions& cache, Reading reading) const {
  const Trial& t = trials_.front();
  Session session(model_, positions(t), threads_, 0, read_as(cache, reading));
  read_prompt(session, t, reading);
  feed_in_pieces(session, std::span(t.follows).first(t.follows.size() - 1));
  return held(session);
}

Matrix CacheTrials::read(Session& session, const Trial& trial, Reading reading) const {
  Matrix logits({trial.follows.size(), model_.config().vocabulary});
  std::ranges::copy(read_prompt(session, trial, reading), logits.row(0).begin());
  const std::span<const int32_t> rest = std::span(trial.follows).first(trial.follows.size() - 1);
  for (uint64_t at = 0; at < rest.size(); at += kCachedReading) {
    const uint64_t n = std::min<uint64_t>(kCachedReading, rest.size() - at);
    const MatrixView rows = session.feed(rest.subspan(at, n), Logits::kAll);
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
