#include "pith/fit/block_factors.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "diagonal_blocks.h"
#include "group_choice.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/masks.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "pith/form/sparse_fit.h"
#include "pith/math/matrix_product.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::Shape;
using math::ProductInto;

constexpr double kWorthwhile = 0.9995;
// Of what a solution is divided by, so that it exists.
constexpr double kLittle = 1e-7;
// Elements of S that get their values together where their mask stays.
constexpr uint64_t kTogether = 4;

// What stands in the expression.
struct Factors {
  std::optional<Expression> left, right;
  Expression middle;

  explicit Factors(const Expression& e) : middle(e) {
    const auto is = [](const Expression& f, std::string_view name) {
      return f.is_call() && f.name() == name;
    };
    bool fits = e.kind() == Expression::Kind::kProduct;
    size_t sparse = 0;
    for (const Expression& f : e.operands()) {
      if (is(f, "sparse")) {
        middle = f;
        ++sparse;
      } else if (is(f, "blockdiag") && !(sparse == 0 ? left : right)) {
        (sparse == 0 ? left : right) = f;
      } else {
        fits = false;
      }
    }
    if (!fits || sparse != 1) {
      throw e.place().error(
          ErrorKind::kUsage,
          fmt::format("`{}` is no `blockdiag(...) * sparse(...) * blockdiag(...)`",
                      form::to_string(e)));
    }
  }
};

class Turns {
 public:
  Turns(const Task& task, const Factors& factors, const BlockFactorOptions& options)
      : task_(task),
        factors_(factors),
        options_(options),
        sparse_(form::sparse_options(factors.middle)),
        threads_(thread_count(task.threads)),
        rows_(task.weights.shape.rows),
        cols_(task.weights.shape.cols),
        weights_(numbers(task.weights)),
        inputs_(damped_moments(task.inputs, cols_, options.damping).matrix),
        outputs_(rows_, 1.0) {
    if (!task.outputs.empty()) outputs_.assign(task.outputs.begin(), task.outputs.end());
    const double most = outputs_.empty() ? 0 : *std::ranges::max_element(outputs_);
    for (double& g : outputs_) g = most > 0 ? std::max(g / most, 1e-9) : 1;
    left_ = DiagonalBlocks(rows_, block_of(factors.left, rows_));
    right_ = DiagonalBlocks(cols_, block_of(factors.right, cols_));
    begin();
  }

  Fitted run() {
    Fitted best = made();
    double before = loss();
    for (int round = 0; round < options_.rounds; ++round) {
      if (factors_.left) fit_left();
      if (factors_.right) fit_right();
      fit_middle();
      const double now = loss();
      if (!(now < before)) break;
      const bool enough = now > kWorthwhile * before;
      before = now;
      if (enough) break;
    }
    return better(std::move(best), made());
  }

 private:
  static uint64_t block_of(const std::optional<Expression>& e, uint64_t n) {
    if (!e) return 1;
    const form::Arguments args(*e, {"block", "blocks", "values"});
    if (args.has("blocks")) {
      const auto count = static_cast<uint64_t>(args.integer("blocks", 1, 1 << 20));
      return (n + count - 1) / count;
    }
    return static_cast<uint64_t>(args.integer("block", 1, 1 << 20, 64));
  }

  // The mask that leaves less, values as they are.
  void begin() {
    double least = INFINITY;
    for (const Score score : {Score::kActivation, Score::kNormalized}) {
      const auto keep = kept(sparse_, task_.weights.shape, scores(score, task_));
      Numbers middle(weights_.size());
      for (size_t i = 0; i < middle.size(); ++i) middle[i] = keep[i] != 0 ? weights_[i] : 0;
      std::swap(middle, middle_);
      errors_ = weights_;
      for (size_t i = 0; i < errors_.size(); ++i) errors_[i] -= middle_[i];
      const double now = loss();
      if (now < least) {
        least = now;
        keep_ = keep;
      } else {
        std::swap(middle, middle_);
      }
    }
    if (keep_.empty()) keep_.assign(weights_.size(), 0);
    aim();
  }

  Fitted made() const {
    const Matrix middle = matrix(middle_, task_.weights.shape);
    std::vector<form::FormPtr> all;
    if (factors_.left) all.push_back(form::encode(*factors_.left, left_.dense().view()));
    all.push_back(form::SparseFit(factors_.middle, task_.weights.shape, keep_).form(middle.view()));
    if (factors_.right) all.push_back(form::encode(*factors_.right, right_.dense().view()));
    return measured(task_, form::product_of(std::move(all)));
  }

  Numbers times_left(const Numbers& m) const {
    return factors_.left ? left_.times(m, cols_, threads_) : m;
  }
  Numbers times_right(const Numbers& m) const {
    return factors_.right ? right_.after(m, rows_, threads_) : m;
  }

  // What is left of the weights.
  void aim() {
    errors_ = times_right(times_left(middle_));
    for (size_t i = 0; i < errors_.size(); ++i) errors_[i] = weights_[i] - errors_[i];
  }

  Numbers seen() const {
    return product(view(errors_, rows_, cols_), view(inputs_, cols_, cols_), threads_);
  }

  double loss() const {
    const Numbers e = seen();
    double sum = 0;
    for (uint64_t r = 0; r < rows_; ++r) {
      double row = 0;
      for (uint64_t c = 0; c < cols_; ++c) row += e[r * cols_ + c] * errors_[r * cols_ + c];
      sum += outputs_[r] * row;
    }
    return sum;
  }

  // Each block beside S B = Z: its rows' least squares, which outputs' importance does not change.
  void fit_left() {
    const Numbers z = times_right(middle_), e = seen();
    const Numbers zh = product(view(z, rows_, cols_), view(inputs_, cols_, cols_), threads_);
    for (uint64_t b = 0; b < left_.count(); ++b) {
      const uint64_t at = left_.first(b), n = left_.length(b);
      const auto zb = rows_of(z, cols_, at, n);
      const Numbers gram = product(rows_of(zh, cols_, at, n), zb.transposed(), threads_);
      const Numbers cross = product(rows_of(e, cols_, at, n), zb.transposed(), threads_);
      const Numbers inverted = damped_inverse(gram, n, kLittle, 1);
      const Numbers change = product(view(cross, n, n), view(inverted, n, n), threads_);
      left_.add(b, change);
    }
    aim();
  }

  // Block after block, since the inputs' moments tie them to each other.
  void fit_right() {
    const Numbers y = times_left(middle_);
    Numbers e = seen(), weighted = y;
    for (uint64_t i = 0; i < weighted.size(); ++i) weighted[i] *= outputs_[i / cols_];
    for (uint64_t b = 0; b < right_.count(); ++b) {
      const uint64_t at = right_.first(b), n = right_.length(b);
      const auto yb = columns_of(y, rows_, cols_, at, n);
      const auto wb = columns_of(weighted, rows_, cols_, at, n);
      const Numbers gram = product(yb.transposed(), wb, threads_);
      const Numbers cross = product(wb.transposed(), columns_of(e, rows_, cols_, at, n), threads_);
      Numbers moments(n * n);
      for (uint64_t r = 0; r < n; ++r) {
        std::copy_n(inputs_.data() + (at + r) * cols_ + at, n, moments.data() + r * n);
      }
      const Numbers left = damped_inverse(gram, n, kLittle, 1),
                    right = damped_inverse(moments, n, kLittle, 1);
      const Numbers half = product(view(left, n, n), view(cross, n, n), threads_);
      const Numbers change = product(view(half, n, n), view(right, n, n), threads_);
      right_.add(b, change);
      const Numbers made = product(yb, view(change, n, n), threads_);
      math::matrix_product(view(made, rows_, n), rows_of(inputs_, cols_, at, n), e.data(), cols_,
                           ProductInto::kSubtract, threads_);
    }
    aim();
  }

  // Rows of different blocks of A do not depend on each other.
  void fit_middle() {
    const bool turned = factors_.right.has_value();
    const Numbers hb = turned ? right_.after(inputs_, cols_, threads_, true) : inputs_;  // H Bᵀ
    const Numbers curvature = turned ? right_.times(hb, cols_, threads_) : hb;           // B H Bᵀ
    Numbers e = errors_;
    for (uint64_t i = 0; i < e.size(); ++i) e[i] *= outputs_[i / cols_];
    Numbers fall = product(view(e, rows_, cols_), view(hb, cols_, cols_), threads_);
    if (factors_.left) fall = left_.times(fall, cols_, threads_, true);
    parallel_for(threads_, left_.count(),
                 [&](size_t b) { fit_rows(b, curvature, fall.data() + left_.first(b) * cols_); });
    aim();
  }

  // Aᵀ G A of a block.
  Numbers mixed(uint64_t b) const {
    const uint64_t at = left_.first(b), n = left_.length(b);
    const auto block = left_.block(b);
    Numbers weighted(n * n);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        weighted[r * n + c] = outputs_[at + r] * block.data[r * block.row_stride + c];
      }
    }
    return product(block.transposed(), view(weighted, n, n), 1);
  }

  // fall: half of how much the loss falls by each element of these rows of S.
  void fit_rows(uint64_t b, const Numbers& curvature, double* fall) {
    const uint64_t n = left_.length(b);
    const Numbers mix = mixed(b);
    const bool choose = sparse_.is_ratio() && sparse_.m <= GroupChoice::kMost;
    const uint64_t length = choose ? sparse_.m : kTogether;
    Numbers moved(cols_);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < cols_; c += length) {
        const uint64_t size = std::min(length, cols_ - c), at = (left_.first(b) + r) * cols_ + c;
        std::ranges::fill(moved, 0.0);
        if (!fit_group({at, c, size}, mix[r * n + r], curvature, fall + r * cols_ + c, moved)) {
          continue;
        }
        for (uint64_t i = 0; i < n; ++i) {
          const double m = mix[i * n + r];
          if (m == 0) continue;
          for (uint64_t k = 0; k < cols_; ++k) fall[i * cols_ + k] -= m * moved[k];
        }
      }
    }
  }

  // Neighbours in a row of S, from an element on that is in this column.
  struct Neighbours {
    uint64_t at, column, size;
  };

  // Adds to `moved` what their changes are, times the curvature. False where nothing changes.
  bool fit_group(const Neighbours& group, double mix, const Numbers& curvature, const double* fall,
                 Numbers& moved) {
    const auto [at, column, size] = group;
    double q[GroupChoice::kMost * GroupChoice::kMost];
    uint32_t mask = 0;
    for (uint64_t i = 0; i < size; ++i) {
      mask |= keep_[at + i] != 0 ? uint32_t{1} << i : 0;
      for (uint64_t j = 0; j < size; ++j) {
        q[i * size + j] = mix * curvature[(column + i) * cols_ + column + j];
      }
    }
    GroupChoice choice(size, q, fall, middle_.data() + at);
    const bool choose = sparse_.is_ratio() && sparse_.m <= GroupChoice::kMost;
    if (!((choose ? choice.choose(mask) : choice.solve(mask)) < 0)) return false;
    for (uint64_t i = 0; i < size; ++i) {
      const double d = choice.values()[i] - middle_[at + i];
      middle_[at + i] = choice.values()[i];
      keep_[at + i] = mask >> i & 1;
      if (d == 0) continue;
      const double* row = curvature.data() + (column + i) * cols_;
      for (uint64_t k = 0; k < cols_; ++k) moved[k] += d * row[k];
    }
    return true;
  }

  const Task& task_;
  const Factors& factors_;
  BlockFactorOptions options_;
  form::SparseOptions sparse_;
  int threads_;
  uint64_t rows_, cols_;
  Numbers weights_, inputs_, outputs_;
  DiagonalBlocks left_, right_;
  Numbers middle_, errors_;  // S; W - A S B
  std::vector<uint8_t> keep_;
};

}  // namespace

Fitter block_factor_fitter(const Expression& expression, const BlockFactorOptions& options) {
  const Factors factors(expression);
  const form::SparseOptions sparse = form::sparse_options(factors.middle);
  if (!sparse.is_ratio() && !sparse.is_free()) {
    fail(ErrorKind::kUsage, "sparse: between blocks, elements are chosen one by one, or n of m");
  }
  return [=](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    Fitted plain = measured(task, form::encode(expression, task.weights));
    if (task.weights.shape.size() == 0) return plain;
    return better(Turns(task, factors, options).run(), std::move(plain));
  };
}

}  // namespace pith::fit
