#include "pith/fit/feedback.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "block_descent.h"
#include "feedback_factor.h"
#include "outliers.h"
#include "owed_errors.h"
#include "pith/base/error.h"
#include "pith/base/half.h"
#include "pith/base/parallel.h"
#include "pith/form/compose.h"
#include "pith/form/sparse_fit.h"
#include "pith/form/trellis_fit.h"
#include "pith/form/uniform_fit.h"
#include "pith/form/vector_fit.h"
#include "relative_importance.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::UniformFit;
using form::UniformScale;

struct Scales {
  Matrix scales, zeros;
  UniformScale at(uint64_t row, uint64_t group) const {
    const uint64_t i = row * scales.shape.cols + group;
    return {scales.values[i], zeros.values[i]};
  }
  void put(uint64_t row, uint64_t group, UniformScale s) {
    scales.row(row)[group] = s.scale;
    zeros.row(row)[group] = s.zero;
  }
};

constexpr float kMostF16 = 65504;

// Elements that are stored beside the codes, row-major: what each is more than its code's value.
struct Beside {
  std::span<const uint8_t> kept;  // not 0; empty: none are
  Matrix values;

  bool holds(uint64_t row, uint64_t column) const {
    return !kept.empty() && kept[row * values.shape.cols + column] != 0;
  }
  std::span<const uint8_t> kept_of(uint64_t row, uint64_t first, uint64_t n) const {
    return kept.empty() ? kept : kept.subspan(row * values.shape.cols + first, n);
  }
};

// One matrix that is being encoded.
struct Job {
  const std::vector<uint64_t>& order;
  const std::vector<double>& pivots;  // by step
  MatrixView weights;
  UniformFit& fit;
  Scales& scales;
  Beside& beside;
  bool scales_first;
  std::span<const float> matrix = {};  // none: no descent
  int sweeps = 0;

  uint64_t columns() const { return weights.shape.cols; }
  uint64_t group_of(uint64_t step) const {
    return scales.scales.shape.cols == 1 ? 0 : order[step] / fit.group_length();
  }
  uint64_t scale_row(uint64_t row) const { return scales.scales.shape.rows == 1 ? 0 : row; }
};

// The scales of all groups from the weights as they are.
void fit_all(Job& job, int threads) {
  const uint64_t cols = job.columns(), length = job.fit.group_length();
  std::vector<double> pivots(cols);  // by column
  for (uint64_t p = 0; p < cols; ++p) pivots[job.order[p]] = job.pivots[p];
  if (job.scales.scales.shape == form::Shape{1, 1}) {
    std::vector<double> all;
    for (uint64_t r = 0; r < job.weights.shape.rows; ++r) {
      all.insert(all.end(), pivots.begin(), pivots.end());
    }
    RelativeImportance importance;
    importance.set(all);
    job.scales.put(
        0, 0, job.fit.fit({job.weights.data, all.size()}, importance.without(job.beside.kept)));
  } else {
    parallel_for(threads, job.scales.scales.shape.cols, [&](size_t g) {
      const uint64_t first = g * length, n = std::min(length, cols - first);
      RelativeImportance importance;
      importance.set(std::span(pivots).subspan(first, n));
      for (uint64_t r = 0; r < job.weights.shape.rows; ++r) {
        const auto w = job.weights.row(r).subspan(first, n);
        const auto own = importance.without(job.beside.kept_of(r, first, n));
        job.scales.put(r, g, job.fit.fit(w, own));
      }
    });
  }
  job.fit.set_scales(job.scales.scales, job.scales.zeros);
}

// Blocks of steps whose errors reach later columns together. Where scales are searched on the way,
// a block holds whole groups, or a part of one, so that a group's weights are up to date when it
// begins.
std::vector<Steps> blocks_of(uint64_t columns, uint64_t group, bool scales_first) {
  const uint64_t unit = scales_first ? kMostSteps : group;
  const uint64_t length = unit <= kMostSteps ? kMostSteps / unit * unit : unit;
  std::vector<Steps> blocks;
  for (uint64_t first = 0; first < columns; first += length) {
    const uint64_t end = std::min(first + length, columns);
    for (uint64_t at = first; at < end; at += kMostSteps) {
      blocks.push_back({at, std::min(at + kMostSteps, end)});
    }
  }
  return blocks;
}

// kTile rows of the matrix: no row depends on another.
template <class Factor>
class Strip {
 public:
  Strip(const Factor& factor, Job& job, uint64_t first_row)
      : factor_(factor),
        job_(job),
        first_row_(first_row),
        rows_(std::min<uint64_t>(kTile, job.weights.shape.rows - first_row)),
        weights_(job.columns() * kTile),
        owed_(factor, job.columns()),
        codes_(rows_ * job.columns()) {
    for (uint64_t p = 0; p < job.columns(); ++p) {
      for (uint64_t r = 0; r < rows_; ++r) {
        weights_[p * kTile + r] = job.weights.row(first_row + r)[job.order[p]];
      }
    }
    const uint64_t group = std::min(job.fit.group_length(), job.columns());
    group_.resize(group);
    if (!job.scales_first) expected_.resize(2 * group * kTile);
  }

  // Returns the error.
  double run(std::span<const Steps> blocks) {
    for (const Steps& block : blocks) {
      for (uint64_t p = block.first; p < block.last;) {
        const uint64_t next = job_.scales_first ? block.last : std::min(block.last, group_end(p));
        if (!job_.scales_first && p % job_.fit.group_length() == 0) fit_group(block, p);
        for (uint64_t step = p; step < next; ++step) {
          owed_.add(block, p, step, step);
          round(block, step);
        }
        p = next;
      }
      owed_.pass_on(block);
    }
    if (!job_.matrix.empty()) descend();
    job_.fit.put(first_row_, rows_, codes_.data());
    return error_;
  }

 private:
  uint64_t group_end(uint64_t step) const {
    const uint64_t length = job_.fit.group_length();
    return std::min((step / length + 1) * length, job_.columns());
  }

  // The scales of the group that begins here, for the weights that would be rounded if every
  // rounding before them in the group were exact.
  void fit_group(const Steps& block, uint64_t first) {
    const uint64_t n = group_end(first) - first;
    const bool feeds = owed_.any() && first > 0;
    float *sums = expected_.data(), *errors = sums + n * kTile;
    for (uint64_t i = 0; i < n && feeds; ++i) {
      const uint64_t step = first + i;
      if (first > block.first) owed_.add(block, block.first, first, step);
      float *sum = sums + i * kTile, *e = errors + i * kTile;
      std::copy_n(owed_.at(step), kTile, sum);
      if (i > 0) {
        add_multiples(factor_.row(step / kTile, first) + step % kTile, kTile, errors, i, sum);
      }
      for (size_t r = 0; r < kTile; ++r) e[r] = -sum[r];
    }
    importance_.set(std::span(job_.pivots).subspan(first, n));
    const uint64_t g = job_.group_of(first);
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t i = 0; i < n; ++i) {
        group_[i] = weights_[(first + i) * kTile + r] + (feeds ? sums[i * kTile + r] : 0.0f);
      }
      const auto w = std::span<const float>(group_).first(n);
      const auto own = importance_.without(job_.beside.kept_of(first_row_ + r, first, n));
      job_.scales.put(first_row_ + r, g, job_.fit.fit(w, own));
    }
  }

  void round(const Steps& block, uint64_t step) {
    const uint64_t g = job_.group_of(step), column = job_.order[step];
    float* e = owed_.errors(block, step);
    const float* owed = owed_.at(step);
    double squares = 0;
    for (uint64_t r = 0; r < rows_; ++r) {
      const UniformScale s = job_.scales.at(job_.scale_row(first_row_ + r), g);
      const float w = weights_[step * kTile + r];
      const float wanted = owed_.any() ? w + owed[r] : w;
      const uint8_t code = job_.fit.code(wanted, s);
      float value = job_.fit.value(code, s);
      if (job_.beside.holds(first_row_ + r, column)) {
        const float more =
            float_from_f16(f16_from_float(std::clamp(wanted - value, -kMostF16, kMostF16)));
        job_.beside.values.row(first_row_ + r)[column] = more;
        value += more;
      }
      codes_[r * job_.columns() + column] = code;
      e[r] = w - value;
      squares += (double{wanted} - value) * (double{wanted} - value);
    }
    error_ += job_.pivots[step] * squares;
  }

  void descend() {
    const UniformBlocks uniform(job_.fit);
    const uint64_t cols = job_.columns(), groups = job_.scales.scales.shape.cols;
    std::vector<UniformBlocks::Block> blocks(rows_ * groups);
    for (uint64_t i = 0; i < blocks.size(); ++i) {
      const UniformScale s = job_.scales.at(job_.scale_row(first_row_ + i / groups), i % groups);
      blocks[i].d = s.scale;
      blocks[i].dmin = -s.zero;
    }
    // What stands beside a code is no part of what its block is to be.
    Matrix rows({rows_, cols});
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t c = 0; c < cols; ++c) {
        rows.row(r)[c] = job_.weights.row(first_row_ + r)[c];
        if (!job_.beside.kept.empty()) rows.row(r)[c] -= job_.beside.values.row(first_row_ + r)[c];
      }
    }
    error_ = factor_.mean *
             BlockDescent(uniform, job_.matrix).run(rows.view(), job_.sweeps, blocks, codes_);
    if (!uniform.shared_may_change()) return;
    for (uint64_t i = 0; i < blocks.size(); ++i) {
      job_.scales.put(first_row_ + i / groups, i % groups, {blocks[i].d, -blocks[i].dmin});
    }
  }

  const Factor& factor_;
  Job& job_;
  uint64_t first_row_, rows_;
  std::vector<float> weights_;  // by step, kTile rows each
  OwedErrors<Factor> owed_;
  std::vector<float> expected_, group_;
  RelativeImportance importance_;
  std::vector<uint8_t> codes_;  // row-major
  double error_ = 0;
};

// `uniform(...)` and what stands beside it.
struct Parts {
  const form::Expression& uniform;
  const form::Expression* sparse = nullptr;
};

Parts parts_of(const form::Expression& e) {
  if (e.kind() != form::Expression::Kind::kSum) return {e};
  const form::Expression& last = e.operands().back();
  const bool two = e.operands().size() == 2 && last.is_call() && last.name() == "sparse";
  if (!two || !form::sparse_options(last).is_free()) {
    throw e.place().error(ErrorKind::kUsage,
                          fmt::format("`{}` is not `uniform(…) + sparse(share)`", to_string(e)));
  }
  return {e.operands()[0], &last};
}

}  // namespace

ErrorFeedback::Result ErrorFeedback::encode(const form::Expression& expression,
                                            MatrixView weights) const {
  if (expression.is_call() && expression.name() == "sparse") return prune(expression, weights);
  metric_.require(weights.shape);
  if (expression.is_call() && expression.name() == "ggml")
    return encode_blocks(expression, weights);
  if (form::VectorFit::fits(expression)) {
    return encode_vectors(form::encode(expression, weights), weights);
  }
  if (form::TrellisFit::fits(expression)) {
    return encode_paths(form::encode(expression, weights), weights);
  }
  const Parts parts = parts_of(expression);
  UniformFit fit(parts.uniform, weights);
  const uint64_t cols = weights.shape.cols;
  const auto [order, pivots] = factor_->steps(cols);
  const int threads = thread_count(options_.threads);
  Scales scales{Matrix(fit.groups()), Matrix(fit.groups())};
  Beside beside;
  std::vector<uint8_t> kept;
  if (parts.sparse != nullptr) {
    std::vector<double> importance(cols);
    for (uint64_t p = 0; p < cols; ++p) importance[order[p]] = pivots[p];
    const double share = form::sparse_options(*parts.sparse).share;
    kept = outliers(fit, weights, importance, form::count_of(share, weights.shape.size()), threads);
    beside = {kept, Matrix(weights.shape)};
  }
  std::vector<float> matrix;
  if (factor_->feeds_back() && options_.sweeps > 0)
    matrix = factor_->curvature(metric_, weights.shape.cols, threads).matrix;
  const bool scales_first = fit.scales_first() || !std::ranges::is_sorted(order);
  Job job{order, pivots, weights, fit, scales, beside, scales_first, matrix, options_.sweeps};
  double error = 0;
  if (weights.shape.size() > 0) {
    if (job.scales_first) fit_all(job, threads);
    const auto blocks = blocks_of(cols, std::min(fit.group_length(), cols), job.scales_first);
    std::vector<double> errors((weights.shape.rows + kTile - 1) / kTile);
    parallel_for(threads, errors.size(), [&](size_t i) {
      errors[i] = Strip<Factor>(*factor_, job, i * kTile).run(blocks);
    });
    error = std::accumulate(errors.begin(), errors.end(), 0.0);
  }
  if (!fit.scales_first() || weights.shape.size() == 0) fit.set_scales(scales.scales, scales.zeros);
  form::FormPtr form = fit.form();
  if (parts.sparse != nullptr) {
    const form::SparseFit sparse(*parts.sparse, weights.shape, kept);
    form = form::sum_of({form, sparse.form(beside.values.view())});
  }
  return {form, error};
}

}  // namespace pith::fit
