// Integers with steps by water-filling, and codes by error feedback.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "feedback_factor.h"
#include "owed_errors.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"

namespace pith::fit {
namespace {

using form::IntegerFit;
using form::IntegerSteps;
using form::MatrixView;

static_assert(IntegerFit::kPanelRows == kTile);

// Rows and columns whose error means nothing get no larger steps than those of this share of the
// mean importance.
constexpr double kLeastImportance = 1e-6;

// -log2(importance) / 2 in quarter octaves around the mean importance; returns that.
double quarter_octaves(std::span<const double> importance, std::vector<int8_t>& to) {
  const double mean = std::accumulate(importance.begin(), importance.end(), 0.0) /
                      static_cast<double>(importance.size());
  if (!(mean > 0)) return 1;
  for (size_t i = 0; i < to.size(); ++i) {
    const double share = std::max(importance[i] / mean, kLeastImportance);
    to[i] = static_cast<int8_t>(std::lround(-2 * std::log2(share)));
  }
  return mean;
}

// kTile rows of the matrix.
template <class Factor>
class IntegerStrip {
 public:
  IntegerStrip(const Factor& factor, MatrixView weights, IntegerFit& fit, uint64_t panel)
      : factor_(factor),
        weights_(weights),
        fit_(fit),
        panel_(panel),
        rows_(std::min<uint64_t>(kTile, weights.shape.rows - panel * kTile)),
        owed_(factor, weights.shape.cols) {}

  // The squared roundings of each row, times the pivots; and with the products, where there are
  // any, the sums of what was and what is.
  void run(std::span<const uint64_t> order, std::span<const double> pivots, double lambda,
           MatrixView products, double* errors, std::array<double, 2>* own) {
    float wanted[kTile], values[kTile];
    const uint64_t cols = weights_.shape.cols;
    for (uint64_t first = 0; first < cols; first += kMostSteps) {
      const Steps block{first, std::min<uint64_t>(first + kMostSteps, cols)};
      for (uint64_t step = block.first; step < block.last; ++step) {
        owed_.add(block, block.first, step, step);
        const float* column = weights_.data + panel_ * kTile * cols + order[step];
        for (uint64_t r = 0; r < rows_; ++r) {
          wanted[r] = column[r * cols] + (owed_.any() ? owed_.at(step)[r] : 0.0f);
        }
        fit_.choose(panel_, order[step], wanted, lambda, values);
        float* left = owed_.errors(block, step);
        for (uint64_t r = 0; r < rows_; ++r) {
          left[r] = column[r * cols] - values[r];
          const double rounded = double{wanted[r]} - values[r];
          errors[r] += pivots[step] * rounded * rounded;
          if (!own) continue;
          const double product = products.row(panel_ * kTile + r)[order[step]];
          own[r][0] += product * column[r * cols];
          own[r][1] += product * values[r];
        }
      }
      owed_.pass_on(block);
    }
  }

 private:
  const Factor& factor_;
  MatrixView weights_;
  IntegerFit& fit_;
  uint64_t panel_, rows_;
  OwedErrors<Factor> owed_;
};

}  // namespace

IntegerSteps ErrorFeedback::steps(form::Shape shape, double step, RowImportance rows) const {
  metric_.require(shape);
  if (!(step > 0) || std::isinf(step)) fail(ErrorKind::kUsage, "a step must be above 0");
  if (!rows.empty() && rows.size() != shape.rows) {
    fail(ErrorKind::kUsage, "importances of {} rows for a matrix of {}", rows.size(), shape.rows);
  }
  IntegerSteps steps;
  steps.rows.resize(shape.rows);
  steps.columns.resize(shape.cols);
  double mean = 1;
  if (!rows.empty()) mean *= quarter_octaves(rows, steps.rows);
  if (!factor_->order.empty()) {
    std::vector<double> pivots(shape.cols);
    for (uint64_t p = 0; p < shape.cols; ++p) pivots[factor_->order[p]] = factor_->pivots[p];
    mean *= quarter_octaves(pivots, steps.columns);
  }
  steps.step = static_cast<float>(step / std::sqrt(mean));
  if (!(steps.step > 0) || std::isinf(steps.step)) {
    fail(ErrorKind::kUsage, "a step of {} is out of range for this matrix", step);
  }
  return steps;
}

ErrorFeedback::Result ErrorFeedback::encode(const form::Expression& expression, MatrixView weights,
                                            const IntegerSteps& steps, double lambda,
                                            RowImportance rows, MatrixView products) const {
  metric_.require(weights.shape);
  IntegerFit fit(expression, weights, steps);
  if (weights.shape.size() == 0) return {fit.form(), 0};
  const Factor::Order by_step = factor_->steps(weights.shape.cols);
  const auto importance = [&](uint64_t r) { return rows.empty() ? 1 : rows[r]; };
  std::vector<double> errors(weights.shape.rows);
  // Of each row: w A w and w A w'.
  std::vector<std::array<double, 2>> own(products.data ? weights.shape.rows : 0);
  const int threads = thread_count(options_.threads);
  parallel_for(threads, fit.panels(), [&](size_t panel) {
    IntegerStrip<Factor>(*factor_, weights, fit, panel)
        .run(by_step.columns, by_step.pivots, lambda, products, errors.data() + panel * kTile,
             own.empty() ? nullptr : own.data() + panel * kTile);
  });
  double error = 0, before = 0, after = 0;
  for (uint64_t r = 0; r < errors.size(); ++r) {
    error += errors[r] * importance(r);
    if (own.empty()) continue;
    before += own[r][0] * importance(r);
    after += own[r][1] * importance(r);
  }
  // Far from 1 there is little left of the matrix, and noise would be what grows.
  const double gain = after > 0 ? before / after : 1;
  const bool sound = gain > 0.5 && gain < 2;
  return {fit.form(threads, sound ? static_cast<float>(gain) : 1.0F), error};
}

}  // namespace pith::fit
