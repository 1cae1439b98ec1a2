// GGML's blocks by error feedback. What the groups of a block share is fixed when its first column
// comes, and the integers of a group when its own first column comes, for the weights that would be
// rounded if every rounding before them in it were exact.
#include <algorithm>
#include <numeric>
#include <vector>

#include "block_descent.h"
#include "feedback_factor.h"
#include "owed_errors.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/ggml_fit.h"
#include "relative_importance.h"

namespace pith::fit {
namespace {

using form::GgmlFit;
using form::MatrixView;
using form::UniformScale;

struct BlockJob {
  const std::vector<uint64_t>& order;
  const std::vector<double>& pivots;  // by step
  std::span<const float> matrix;      // none: no descent
  int sweeps;
  MatrixView weights;
  GgmlFit& fit;
  bool in_order;

  uint64_t columns() const { return weights.shape.cols; }
  uint64_t blocks() const { return columns() / fit.block_length(); }
};

// kTile rows of the matrix.
template <class Factor>
class BlockStrip {
 public:
  BlockStrip(const Factor& factor, BlockJob& job, uint64_t first_row)
      : factor_(factor),
        job_(job),
        first_row_(first_row),
        rows_(std::min<uint64_t>(kTile, job.weights.shape.rows - first_row)),
        weights_(job.columns() * kTile),
        owed_(factor, job.columns()),
        expected_(2 * job.fit.block_length() * kTile),
        group_(job.fit.block_length()),
        blocks_(rows_ * job.blocks()),
        codes_(rows_ * job.columns()) {
    for (uint64_t p = 0; p < job.columns(); ++p) {
      for (uint64_t r = 0; r < rows_; ++r) {
        weights_[p * kTile + r] = job.weights.row(first_row + r)[job.order[p]];
      }
    }
  }

  // Returns the error.
  double run() {
    if (!job_.in_order) fit_plain();
    const uint64_t cols = job_.columns(), group = job_.fit.group_length();
    for (uint64_t at = 0; at < cols; at += kMostSteps) {
      const Steps steps{at, std::min<uint64_t>(at + kMostSteps, cols)};
      for (uint64_t p = steps.first; p < steps.last; p += group) {
        if (job_.in_order) fit_group(steps, p);
        for (uint64_t step = p; step < p + group; ++step) {
          owed_.add(steps, job_.in_order ? p : steps.first, step, step);
          round(steps, step);
        }
      }
      owed_.pass_on(steps);
    }
    if (!job_.matrix.empty()) {
      const GgmlBlocks blocks(job_.fit);
      const MatrixView rows{job_.weights.row(first_row_).data(), {rows_, cols}};
      error_ =
          factor_.mean * BlockDescent(blocks, job_.matrix).run(rows, job_.sweeps, blocks_, codes_);
    }
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t b = 0; b < job_.blocks(); ++b) {
        job_.fit.put(first_row_ + r, b, block(r, b * job_.fit.block_length()),
                     codes_.data() + r * cols + b * job_.fit.block_length());
      }
    }
    return error_;
  }

 private:
  GgmlFit::Block& block(uint64_t row, uint64_t column) {
    return blocks_[row * job_.blocks() + column / job_.fit.block_length()];
  }
  uint64_t group_of(uint64_t column) const {
    return column % job_.fit.block_length() / job_.fit.group_length();
  }

  // All scales for the weights as they are.
  void fit_plain() {
    const uint64_t length = job_.fit.block_length();
    std::vector<double> pivots(job_.columns());
    for (uint64_t p = 0; p < pivots.size(); ++p) pivots[job_.order[p]] = job_.pivots[p];
    for (uint64_t first = 0; first < pivots.size(); first += length) {
      importance_.set(std::span(pivots).subspan(first, length));
      for (uint64_t r = 0; r < rows_; ++r) {
        const auto w = job_.weights.row(first_row_ + r).subspan(first, length);
        block(r, first) = job_.fit.block(w, importance_.values());
      }
    }
  }

  void fit_group(const Steps& steps, uint64_t first) {
    const uint64_t length = job_.fit.block_length(), group = job_.fit.group_length();
    const bool begins = first % length == 0;
    // A block longer than a group begins where nothing is owed by the steps before it.
    if (first > steps.first) {
      for (uint64_t step = first; step < first + group; ++step) {
        owed_.add(steps, steps.first, first, step);
      }
    }
    if (begins) fit_elements(first, length, true);
    if (!begins && owed_.any()) fit_elements(first, group, false);
  }

  void fit_elements(uint64_t first, uint64_t n, bool all) {
    expect(first, n);
    importance_.set(std::span(job_.pivots).subspan(first, n));
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t i = 0; i < n; ++i) {
        group_[i] = weights_[(first + i) * kTile + r] + expected_[i * kTile + r];
      }
      const auto w = std::span<const float>(group_).first(n);
      if (all) {
        block(r, first) = job_.fit.block(w, importance_.values());
      } else {
        job_.fit.refit(block(r, first), group_of(first), w, importance_.values());
      }
    }
  }

  // What is owed to n steps if all roundings among them are exact.
  void expect(uint64_t first, uint64_t n) {
    float *sums = expected_.data(), *errors = sums + n * kTile;
    if (!owed_.any() || first == 0) return std::fill_n(sums, n * kTile, 0.0f), void();
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t step = first + i;
      float *sum = sums + i * kTile, *e = errors + i * kTile;
      std::copy_n(owed_.at(step), kTile, sum);
      if (i > 0) {
        add_multiples(factor_.row(step / kTile, first) + step % kTile, kTile, errors, i, sum);
      }
      for (size_t r = 0; r < kTile; ++r) e[r] = -sum[r];
    }
  }

  void round(const Steps& steps, uint64_t step) {
    const uint64_t column = job_.order[step], g = group_of(column);
    float* e = owed_.errors(steps, step);
    const float* owed = owed_.at(step);
    double squares = 0;
    for (uint64_t r = 0; r < rows_; ++r) {
      const UniformScale s = job_.fit.scale(block(r, column), g);
      const float w = weights_[step * kTile + r];
      const float wanted = owed_.any() ? w + owed[r] : w;
      const uint8_t code = job_.fit.code(wanted, s);
      const float value = job_.fit.value(code, s);
      codes_[r * job_.columns() + column] = code;
      e[r] = w - value;
      squares += (double{wanted} - value) * (double{wanted} - value);
    }
    error_ += job_.pivots[step] * squares;
  }

  const Factor& factor_;
  BlockJob& job_;
  uint64_t first_row_, rows_;
  std::vector<float> weights_;  // by step, kTile rows each
  OwedErrors<Factor> owed_;
  std::vector<float> expected_, group_;
  RelativeImportance importance_;
  std::vector<GgmlFit::Block> blocks_;  // row-major
  std::vector<uint8_t> codes_;          // row-major
  double error_ = 0;
};

}  // namespace

ErrorFeedback::Result ErrorFeedback::encode_blocks(const form::Expression& expression,
                                                   MatrixView weights) const {
  GgmlFit fit(expression, weights);
  if (weights.shape.size() == 0) return {fit.form(), 0};
  const auto [order, pivots] = factor_->steps(weights.shape.cols);
  const int threads = thread_count(options_.threads);
  std::vector<float> matrix;
  if (factor_->feeds_back() && options_.sweeps > 0)
    matrix = factor_->curvature(metric_, weights.shape.cols, threads).matrix;
  BlockJob job{order, pivots, matrix, options_.sweeps, weights, fit, std::ranges::is_sorted(order)};
  std::vector<double> errors((weights.shape.rows + kTile - 1) / kTile);
  parallel_for(threads, errors.size(),
               [&](size_t i) { errors[i] = BlockStrip<Factor>(*factor_, job, i * kTile).run(); });
  return {fit.form(), std::accumulate(errors.begin(), errors.end(), 0.0)};
}

}  // namespace pith::fit
