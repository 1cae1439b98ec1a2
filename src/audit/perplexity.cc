#include "pith/audit/perplexity.h"

#include <algorithm>
#include <cmath>

#include "pith/base/parallel.h"
#include "series.h"
#include "pith/audit/token_scores.h"

namespace pith::audit {
namespace {

// Logits that are held at a time, of each model.
constexpr uint64_t kLogitsAtOnce = uint64_t{1} << 24;

struct Window {
  std::vector<int32_t> inputs;
  std::span<const int32_t> targets;  // targets[i] is predicted from inputs[0 … i]
  uint64_t first = 0;                // index of targets[0] in the text
  uint64_t skip = 0;                 // predictions that do not count
};

class Windows {
 public:
  Windows(std::span<const int32_t> ids, const PerplexityOptions& o) : ids_(ids), bos_(o.bos) {
    if (ids.size() < 2) fail(ErrorKind::kUsage, "a text of {} tokens; 2 are needed", ids.size());
    if (o.context == 0) fail(ErrorKind::kUsage, "the context must be at least 1");
    if (o.stride > o.context) {
      fail(ErrorKind::kUsage, "a stride of {} leaves gaps between windows of {}", o.stride,
           o.context);
    }
    const uint64_t predictions = ids.size() - (bos_ ? 0 : 1);
    context_ = std::min<uint64_t>(o.context, predictions);
    stride_ = o.stride == 0 ? o.context : o.stride;
    skip_ = o.skip_first;
    if (skip_ >= context_) {
      fail(ErrorKind::kUsage, "skipping {} predictions of windows of {} leaves none", skip_,
           context_);
    }
    count_ = (predictions - context_) / stride_ + 1;
    if (o.max_windows > 0) count_ = std::min(count_, o.max_windows);
  }

  uint64_t count() const { return count_; }
  uint64_t context() const { return context_; }
  uint64_t stride() const { return stride_; }

  Window at(uint64_t number) const {
    const uint64_t begin = number * stride_;
    Window window;
    window.first = begin + (bos_ ? 0 : 1);
    window.targets = ids_.subspan(window.first, context_);
    window.skip = number == 0 ? skip_ : std::max(skip_, context_ - std::min(stride_, context_));
    const uint64_t before = bos_ ? 1 : 0;
    window.inputs.resize(context_);
    if (bos_) window.inputs[0] = *bos_;
    const auto text = ids_.subspan(begin, context_ - before);
    std::copy(text.begin(), text.end(), window.inputs.begin() + static_cast<int64_t>(before));
    return window;
  }

 private:
  std::span<const int32_t> ids_;
  std::optional<int32_t> bos_;
  uint64_t context_ = 0, stride_ = 0, skip_ = 0, count_ = 0;
};

class Evaluator {
 public:
  Evaluator(const LogitSource& model, const LogitSource* reference,
            const PerplexityOptions& options)
      : model_(model), reference_(reference), options_(options) {}

  void run(const Windows& windows) {
    const uint64_t total = windows.count() * windows.context();
    for (uint64_t i = 0; i < windows.count(); ++i) {
      report(options_.progress, i * windows.context(), total);
      read(windows.at(i), i, i * windows.context(), total);
    }
    report(options_.progress, total, total);
  }

  Evaluation result() {
    Evaluation out;
    out.scored = loss_.values().size();
    out.model.loss = loss_.measured();
    if (!reference_) return out;
    out.reference.emplace().loss = reference_loss_.measured();
    out.divergence = divergence();
    return out;
  }

 private:
  void read(const Window& window, uint64_t number, uint64_t done, uint64_t total) {
    const uint64_t size = window.inputs.size();
    if (window.skip > 0) {
      const auto skipped = std::span(window.inputs).first(window.skip);
      model_.feed(skipped, 0, false);
      if (reference_) reference_->feed(skipped, 0, false);
    }
    const uint64_t piece = std::max<uint64_t>(kLogitsAtOnce / model_.vocabulary, 1);
    for (uint64_t at = window.skip; at < size; at += piece) {
      report(options_.progress, done + at, total);
      score_piece(window, number, at, std::min(piece, size - at));
    }
    for (Series* series : {&loss_, &reference_loss_, &kl_, &same_, &difference_, &change_}) {
      series->end_window();
    }
  }

  form::MatrixView feed(const LogitSource& source, const Window& window, uint64_t at, uint64_t n) {
    const auto logits = source.feed(std::span(window.inputs).subspan(at, n), at, true);
    if (logits.shape != form::Shape{n, source.vocabulary}) {
      fail(ErrorKind::kData, "logits of {} x {} for {} tokens", logits.shape.rows,
           logits.shape.cols, n);
    }
    return logits;
  }

  // Rows are scored on all threads, and added in their order.
  void score_piece(const Window& window, uint64_t number, uint64_t at, uint64_t n) {
    const form::MatrixView logits = feed(model_, window, at, n);
    const form::MatrixView reference =
        reference_ ? feed(*reference_, window, at, n) : form::MatrixView{};
    scores_.resize(n);
    parallel_for(thread_count(options_.threads), n, [&](size_t i) {
      const int32_t target = window.targets[at + i];
      if (reference_) {
        scores_[i] = compare(logits.row(i), reference.row(i), target);
      } else {
        scores_[i].model = score(logits.row(i), target);
      }
    });
    for (uint64_t i = 0; i < n; ++i) {
      loss_.add(scores_[i].model.loss);
      if (reference_) add(scores_[i], window.first + at + i, number, window.targets[at + i]);
    }
  }

  void add(const TokenComparison& c, uint64_t index, uint64_t window, int32_t token) {
    if (options_.each) {
      const auto prediction = [](const TokenScore& s) {
        return Prediction{s.loss, s.best, s.confidence};
      };
      options_.each(
          {index, window, token, c.divergence, prediction(c.model), prediction(c.reference)});
    }
    reference_loss_.add(c.reference.loss);
    kl_.add(c.divergence);
    same_.add(c.model.best == c.reference.best ? 1 : 0);
    difference_.add(c.model.loss - c.reference.loss);
    change_.add(c.model.probability - c.reference.probability);
    keep_changed({index, token, c.divergence, c.reference.probability, c.model.probability,
                  c.reference.best, c.model.best});
  }

  void keep_changed(const ChangedToken& token) {
    const auto more = [](const ChangedToken& a, const ChangedToken& b) {
      return a.divergence != b.divergence ? a.divergence > b.divergence : a.index < b.index;
    };
    const auto place = std::upper_bound(changed_.begin(), changed_.end(), token, more);
    changed_.insert(place, token);
    if (changed_.size() > options_.changed) changed_.pop_back();
  }

  Divergence divergence() {
    Divergence out;
    out.kl = kl_.measured();
    std::vector<double> sorted = kl_.values();
    std::sort(sorted.begin(), sorted.end());
    out.median = quantile(sorted, 0.5);
    out.p90 = quantile(sorted, 0.9);
    out.p99 = quantile(sorted, 0.99);
    out.p999 = quantile(sorted, 0.999);
    out.max = sorted.back();
    out.same_best = same_.measured();
    out.loss_difference = difference_.measured();
    const auto n = static_cast<double>(sorted.size());
    for (const double change : change_.values()) {
      out.mean_change += change / n;
      out.mean_absolute_change += std::abs(change) / n;
      out.root_mean_square_change += change * change / n;
    }
    out.root_mean_square_change = std::sqrt(out.root_mean_square_change);
    out.changed = changed_;
    return out;
  }

  const LogitSource& model_;
  const LogitSource* reference_;
  const PerplexityOptions& options_;
  Series loss_, reference_loss_, kl_, same_, difference_, change_;
  std::vector<TokenComparison> scores_;
  std::vector<ChangedToken> changed_;
};

void check_vocabulary(const LogitSource& model, const LogitSource* reference,
                      std::span<const int32_t> ids, const PerplexityOptions& options) {
  if (reference && reference->vocabulary != model.vocabulary) {
    fail(ErrorKind::kUsage, "the models have different vocabularies, of {} and {} tokens",
         model.vocabulary, reference->vocabulary);
  }
  const auto check = [&](int32_t id) {
    if (id >= 0 && static_cast<uint64_t>(id) < model.vocabulary) return;
    fail(ErrorKind::kUsage, "token {} of a text, but the model has {} tokens", id,
         model.vocabulary);
  };
  for (const int32_t id : ids) check(id);
  if (options.bos) check(*options.bos);
}

}  // namespace

double Loss::perplexity() const { return std::exp(loss.mean); }

std::optional<double> Loss::perplexity_error() const {
  const auto& error = loss.window_error ? loss.window_error : loss.token_error;
  if (!error) return std::nullopt;
  return perplexity() * *error;
}

Evaluation evaluate(const LogitSource& model, std::span<const int32_t> ids,
                    const PerplexityOptions& options, const LogitSource* reference) {
  check_vocabulary(model, reference, ids, options);
  const Windows windows(ids, options);
  Evaluator evaluator(model, reference, options);
  evaluator.run(windows);
  Evaluation out = evaluator.result();
  out.tokens = ids.size();
  out.windows = windows.count();
  out.context = windows.context();
  out.stride = windows.stride();
  out.skip_first = options.skip_first;
  out.bos = options.bos.has_value();
  return out;
}

}  // namespace pith::audit
