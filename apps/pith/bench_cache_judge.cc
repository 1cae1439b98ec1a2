#include "bench_cache_judge.h"

#include <algorithm>

#include "pith/audit/token_scores.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/prompt.h"

namespace pith::bench {
namespace {

// As many ids as are wanted of the text's beginning, cut into windows that begin with bos.
std::vector<std::vector<int32_t>> windows_of(const model::LanguageModel& model,
                                             const std::string& text, uint64_t count,
                                             uint64_t length) {
  // No token of a text is longer than this, on the mean.
  const std::string part = text.substr(0, count * length * 16);
  const std::vector<int32_t> ids = model::text_ids(model, part, {.add_bos = false});
  std::vector<std::vector<int32_t>> windows;
  for (uint64_t w = 0; w < count; ++w) {
    const uint64_t at = w * (length - 1);
    if (at + length - 1 > ids.size()) fail(ErrorKind::kUsage, "the text is too short");
    windows.push_back({model.config().bos.value_or(1)});
    windows.back().insert(windows.back().end(), ids.begin() + static_cast<ptrdiff_t>(at),
                          ids.begin() + static_cast<ptrdiff_t>(at + length - 1));
  }
  return windows;
}

// next: -1 where the text ends.
Continuation compare(std::span<const float> own, std::span<const float> other, int32_t next) {
  const audit::TokenComparison c = audit::compare(other, own, std::max(next, 0));
  return {c.divergence, c.model.best == c.reference.best ? 1.0 : 0.0,
          next < 0 ? 0 : c.model.loss - c.reference.loss};
}

}  // namespace

CacheJudge::CacheJudge(const model::LanguageModel& model, const std::string& text, uint64_t windows,
                       uint64_t length, int threads)
    : model_(model),
      length_(length),
      threads_(threads),
      ids_(windows_of(model, text, windows, length)) {
  for (uint64_t w = 0; w < ids_.size(); ++w) {
    model::Session session(model_, length_, threads_);
    session.feed(std::span(ids_[w]).first(length_ / 2), model::Logits::kNone);
    caches_.push_back(session.keys_values(0, length_ / 2));
    const form::MatrixView logits = read_rest(session, w);
    logits_.emplace_back(logits.data, logits.data + logits.shape.size());
  }
}

form::MatrixView CacheJudge::read_rest(model::Session& session, uint64_t window) const {
  return session.feed(std::span(ids_[window]).subspan(length_ / 2), model::Logits::kAll);
}

Continuation CacheJudge::judge(const Change& change) const {
  Continuation sum;
  double n = 0;
  for (uint64_t w = 0; w < ids_.size(); ++w) {
    model::Session session(model_, length_, threads_);
    session.adopt(change(caches_[w]));
    const form::MatrixView logits = read_rest(session, w);
    const uint64_t rows = logits.shape.rows, cols = logits.shape.cols;
    std::vector<Continuation> found(rows);
    parallel_for(threads_, rows, [&](size_t r) {
      const uint64_t next = length_ / 2 + r + 1;
      found[r] = compare({logits_[w].data() + r * cols, cols}, logits.row(r),
                         next < ids_[w].size() ? ids_[w][next] : -1);
    });
    for (const Continuation& c : found) {
      sum.divergence += c.divergence;
      sum.same_best += c.same_best;
      sum.loss += c.loss;
    }
    n += static_cast<double>(rows);
  }
  return {sum.divergence / n, sum.same_best / n, sum.loss / n};
}

std::vector<kv::Arrays> caches_of(const model::LanguageModel& model, const std::string& text,
                                  uint64_t count, uint64_t length, int threads) {
  std::vector<kv::Arrays> caches;
  const auto windows = windows_of(model, text, count, length);
  for (const std::vector<int32_t>& ids : windows) {
    model::Session session(model, length, threads);
    session.feed(ids, model::Logits::kNone);
    caches.push_back(session.keys_values(0, length));
  }
  return caches;
}

}  // namespace pith::bench
