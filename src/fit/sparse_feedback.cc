// Sparse forms by error feedback (SparseGPT: Frantar and Alistarh 2023): what a column loses by
// being pruned is made up for by those after it, and what is kept is decided on the way, for
// weights that have taken up all errors so far.
//
// Two things differ from the paper. Values are the least squares over what is kept, and not what
// the way has left, as columns that were passed early have not made up for what was pruned after
// them. Values that are quantized are then rounded with feedback from these. On inputs of a falling
// spectrum this leaves a fraction of the error.
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "feedback_factor.h"
#include "owed_errors.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/masks.h"
#include "pith/form/sparse_fit.h"
#include "quantized_values.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::MatrixView;
using form::SparseOptions;

constexpr int kRefitRounds = 32;

// Steps that are decided on together: a threshold for all rows, or groups of n:m.
std::vector<Steps> blocks_of(const SparseOptions& options, uint64_t columns) {
  const uint64_t unit = options.is_ratio() ? std::min(options.m, columns) : 1;
  // A group may be longer than what is passed on at a time: its blocks follow each other.
  const uint64_t length = unit <= kMostSteps ? kMostSteps / unit * unit : unit;
  std::vector<Steps> blocks;
  for (uint64_t first = 0; first < columns; first += length) {
    const uint64_t end = std::min(first + length, columns);
    for (uint64_t at = first; at < end; at += kMostSteps) {
      blocks.push_back({at, std::min<uint64_t>(at + kMostSteps, end)});
    }
  }
  return blocks;
}

// kTile rows of the matrix.
template <class Factor>
class PrunedStrip {
 public:
  PrunedStrip(const Factor& factor, std::span<const uint64_t> order, std::span<const double> pivots,
              MatrixView weights, uint64_t first_row, uint8_t* keep)
      : order_(order),
        pivots_(pivots),
        weights_(weights),
        first_row_(first_row),
        rows_(std::min<uint64_t>(kTile, weights.shape.rows - first_row)),
        keep_(keep),
        owed_(factor, weights.shape.cols) {}

  uint64_t rows() const { return rows_; }

  // What is lost if the element is pruned now, for steps of a block that begins: rows() a step.
  void score(const Steps& steps, float* to) const {
    for (uint64_t step = steps.first; step < steps.last; ++step) {
      for (uint64_t r = 0; r < rows_; ++r) {
        const double w = wanted(step, r);
        *to++ = static_cast<float>(w * w * pivots_[step]);
      }
    }
  }

  void set_keep(uint64_t step, uint64_t r, bool keep) { kept(step, r) = keep; }

  // Decides on groups of n:m that begin in this block, then works it off.
  void run_groups(const Steps& block, const SparseOptions& options) {
    const uint64_t columns = order_.size();
    for (uint64_t p = block.first; p < block.last;) {
      uint64_t next = std::min(block.last, (p / options.m + 1) * options.m);
      if (p % options.m == 0) {
        const uint64_t end = p + std::min(options.m, columns - p);
        if (p > block.first) {
          for (uint64_t step = p; step < end; ++step) owed_.add(block, block.first, p, step);
        }
        decide(p, end, options.n);
        next = std::min(block.last, end);
      }
      for (uint64_t step = p; step < next; ++step) {
        owed_.add(block, p, step, step);
        prune(block, step);
      }
      p = next;
    }
    owed_.pass_on(block);
  }

  void run(const Steps& block) {
    for (uint64_t step = block.first; step < block.last; ++step) {
      owed_.add(block, block.first, step, step);
      prune(block, step);
    }
    owed_.pass_on(block);
  }

 private:
  uint64_t at(uint64_t step, uint64_t r) const {
    return (first_row_ + r) * weights_.shape.cols + order_[step];
  }
  uint8_t& kept(uint64_t step, uint64_t r) { return keep_[at(step, r)]; }
  float original(uint64_t step, uint64_t r) const { return weights_.data[at(step, r)]; }
  float wanted(uint64_t step, uint64_t r) const {
    return original(step, r) + (owed_.any() ? owed_.at(step)[r] : 0.0f);
  }

  void prune(const Steps& block, uint64_t step) {
    float* e = owed_.errors(block, step);
    for (uint64_t r = 0; r < rows_; ++r) {
      e[r] = original(step, r) - (kept(step, r) != 0 ? wanted(step, r) : 0.0f);
    }
  }

  // Of these steps the n that lose most are kept, or all of fewer.
  void decide(uint64_t first, uint64_t last, uint64_t n) {
    std::vector<std::pair<double, uint64_t>> lost(last - first);
    n = std::min(n, last - first);
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t step = first; step < last; ++step) {
        const double w = wanted(step, r);
        lost[step - first] = {-w * w * pivots_[step], step};
        kept(step, r) = 0;
      }
      std::nth_element(lost.begin(), lost.begin() + static_cast<int64_t>(n), lost.end());
      for (uint64_t i = 0; i < n; ++i) kept(lost[i].second, r) = 1;
    }
  }

  std::span<const uint64_t> order_;
  std::span<const double> pivots_;
  MatrixView weights_;
  uint64_t first_row_, rows_;
  uint8_t* keep_;  // of the whole matrix
  OwedErrors<Factor> owed_;
};

// kTile rows whose kept elements are chosen anew; the others are zero and owe nothing.
template <class Factor>
class KeptStrip {
 public:
  KeptStrip(const Factor& factor, std::span<const uint64_t> order, MatrixView weights,
            uint64_t first_row, std::span<const uint8_t> keep)
      : order_(order),
        weights_(weights),
        first_row_(first_row),
        rows_(std::min<uint64_t>(kTile, weights.shape.rows - first_row)),
        keep_(keep),
        owed_(factor, weights.shape.cols) {}

  // value(row, column, wanted) is what a kept element becomes.
  template <class Value>
  void run(const Steps& block, Value& value) {
    for (uint64_t step = block.first; step < block.last; ++step) {
      owed_.add(block, block.first, step, step);
      float* e = owed_.errors(block, step);
      for (uint64_t r = 0; r < rows_; ++r) {
        const uint64_t row = first_row_ + r, at = row * weights_.shape.cols + order_[step];
        const float w = weights_.data[at];
        e[r] = 0;
        if (keep_[at] == 0) continue;
        e[r] = w - value(row, order_[step], owed_.any() ? w + owed_.at(step)[r] : w);
      }
    }
    owed_.pass_on(block);
  }

 private:
  std::span<const uint64_t> order_;
  MatrixView weights_;
  uint64_t first_row_, rows_;
  std::span<const uint8_t> keep_;
  OwedErrors<Factor> owed_;
};

// The n largest scores of all strips are kept; of equals those of earlier strips, steps and rows.
template <class Strip>
void decide(std::vector<Strip>& strips, const Steps& steps, std::span<const float> scores,
            uint64_t n) {
  std::vector<float> sorted(scores.begin(), scores.end());
  float least = INFINITY;
  uint64_t equal = 0;
  if (n > 0) {
    const auto at = sorted.begin() + static_cast<int64_t>(n - 1);
    std::nth_element(sorted.begin(), at, sorted.end(), std::greater<>());
    least = *at;
    equal = n - static_cast<uint64_t>(std::count_if(scores.begin(), scores.end(),
                                                    [&](float s) { return s > least; }));
  }
  const float* score = scores.data();
  for (Strip& strip : strips) {
    for (uint64_t step = steps.first; step < steps.last; ++step) {
      for (uint64_t r = 0; r < strip.rows(); ++r, ++score) {
        const bool tie = *score == least && equal > 0;
        if (tie) --equal;
        strip.set_keep(step, r, *score > least || tie);
      }
    }
  }
}

}  // namespace

std::vector<uint8_t> ErrorFeedback::choose(const SparseOptions& options, MatrixView weights) const {
  require(weights);
  const form::Shape shape = weights.shape;
  const auto ordered = factor_->steps(shape.cols);
  const std::vector<uint64_t>& order = ordered.columns;
  const std::vector<double>& pivots = ordered.pivots;
  if (!options.is_free() && !options.is_ratio()) {
    fail(ErrorKind::kUsage, "sparse: elements are chosen one by one, or n of m");
  }
  if (options.is_ratio() && !std::ranges::is_sorted(order)) {
    fail(ErrorKind::kUsage, "sparse: n of m neighbours takes columns in their natural order");
  }
  std::vector<uint8_t> keep(shape.size());
  if (shape.size() == 0) return keep;
  using Strip = PrunedStrip<Factor>;
  const int threads = thread_count(options_.threads);
  std::vector<Strip> strips;
  for (uint64_t r = 0; r < shape.rows; r += kTile) {
    strips.emplace_back(*factor_, order, pivots, weights, r, keep.data());
  }
  const auto blocks = blocks_of(options, shape.cols);
  if (options.is_ratio()) {
    parallel_for(threads, strips.size(), [&](size_t i) {
      for (const Steps& block : blocks) strips[i].run_groups(block, options);
    });
  } else {
    uint64_t kept = 0;
    std::vector<float> scores;
    for (const Steps& block : blocks) {
      const uint64_t steps = block.last - block.first;
      scores.resize(steps * shape.rows);
      parallel_for(threads, strips.size(),
                   [&](size_t i) { strips[i].score(block, scores.data() + i * kTile * steps); });
      const uint64_t until = form::count_of(options.share, block.last * shape.rows);
      decide(strips, block, scores, until - kept);
      kept = until;
      parallel_for(threads, strips.size(), [&](size_t i) { strips[i].run(block); });
    }
  }
  return keep;
}

ErrorFeedback::Result ErrorFeedback::encode(const Expression& expression, MatrixView weights,
                                            std::span<const uint8_t> keep) const {
  require(weights);
  const form::Shape shape = weights.shape;
  const form::SparseFit sparse(expression, shape, keep);
  if (shape.size() == 0) return {sparse.form(weights), 0};
  const int threads = thread_count(options_.threads);
  const Matrix best = refitted({"sparse", weights, metric_, {}, threads}, keep, weights,
                               {kRefitRounds, options_.damping});
  form::FormPtr form;
  if (is_uniform(sparse.values())) {
    const auto ordered = factor_->steps(shape.cols);
    const std::vector<uint64_t>& order = ordered.columns;
    const std::vector<double>& pivots = ordered.pivots;
    std::vector<double> importance(shape.cols);  // by column
    for (uint64_t p = 0; p < shape.cols; ++p) importance[order[p]] = pivots[p];
    QuantizedValues values(sparse, best.view(), keep, importance);
    const auto blocks = blocks_of({.pattern = form::SparsePattern::kBitmap}, shape.cols);
    parallel_for(threads, (shape.rows + kTile - 1) / kTile, [&](size_t i) {
      KeptStrip<Factor> strip(*factor_, order, best.view(), i * kTile, keep);
      for (const Steps& block : blocks) strip.run(block, values);
    });
    form = sparse.form(values.form());
  } else {
    form = sparse.form(best.view());
  }
  const Matrix decoded = form::decode(*form);
  return {form, fit::error(metric_, weights, decoded.view(), threads)};
}

ErrorFeedback::Result ErrorFeedback::prune(const Expression& expression, MatrixView weights) const {
  return encode(expression, weights, choose(form::sparse_options(expression), weights));
}

void ErrorFeedback::require(MatrixView weights) const {
  metric_.require(weights.shape);
  for (uint64_t i = 0; i < weights.shape.size(); ++i) {
    if (!std::isfinite(weights.data[i])) {
      fail(ErrorKind::kData, "sparse: row {}, column {} is {}", i / weights.shape.cols,
           i % weights.shape.cols, weights.data[i]);
    }
  }
}

Fitter sparse_fitter(const Expression& expression, const FeedbackOptions& options) {
  const SparseOptions sparse = form::sparse_options(expression);
  return [=](const Task& task) {
    FeedbackOptions own = options;
    own.threads = task.threads;
    const ErrorFeedback feedback(task.inputs, own);
    const auto with = [&](std::span<const uint8_t> keep) {
      return measured(task, feedback.encode(expression, task.weights, keep).form);
    };
    const form::Shape shape = task.weights.shape;
    if (is_row_blocks(sparse)) {
      const auto by_removal = scores(Score::kRemoval, task);
      return better(with(kept(sparse, shape, by_removal)),
                    measured(task, form::encode(expression, task.weights)));
    }
    const auto by_activation = scores(Score::kActivation, task);
    Fitted best = better(with(feedback.choose(sparse, task.weights)),
                         with(kept(sparse, shape, by_activation, Among::kRow)));
    if (sparse.is_free()) best = better(best, with(kept(sparse, shape, by_activation)));
    return better(best, measured(task, form::encode(expression, task.weights)));
  };
}

}  // namespace pith::fit
