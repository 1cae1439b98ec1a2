#include "pith/fit/block_factors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/masks.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "pith/form/sparse_fit.h"
#include "pith/math/cholesky.h"
#include "pith/math/matrix_product.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::Shape;
using math::ProductInto;
using Numbers = std::vector<double>;

constexpr double kWorthwhile = 0.9995;
// Of what a solution is divided by, so that it exists.
constexpr double kLittle = 1e-7;
// Masks of a group are counted up to so many neighbours; longer groups keep theirs.
constexpr uint64_t kLongestGroup = 8;
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

// A square matrix of blocks on the diagonal, one below the other.
class Blocks {
 public:
  Blocks() = default;
  // The identity of n x n.
  Blocks(uint64_t n, uint64_t size) : n_(n), size_(std::max<uint64_t>(1, std::min(size, n))) {
    values_.resize(n_ * size_);
    for (uint64_t i = 0; i < n_; ++i) values_[i * size_ + i % size_] = 1;
  }
  uint64_t count() const { return n_ == 0 ? 0 : (n_ + size_ - 1) / size_; }
  uint64_t first(uint64_t block) const { return block * size_; }
  uint64_t length(uint64_t block) const { return std::min(size_, n_ - first(block)); }
  math::StridedDoubles block(uint64_t b) const {
    return {values_.data() + first(b) * size_, length(b), length(b), size_, 1};
  }
  void add(uint64_t b, const Numbers& change) {
    const uint64_t n = length(b);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < n; ++c) values_[(first(b) + r) * size_ + c] += change[r * n + c];
    }
  }
  Matrix dense() const {
    Matrix out({n_, n_});
    for (uint64_t b = 0; b < count(); ++b) {
      for (uint64_t r = 0; r < length(b); ++r) {
        for (uint64_t c = 0; c < length(b); ++c) {
          out.row(first(b) + r)[first(b) + c] =
              static_cast<float>(values_[(first(b) + r) * size_ + c]);
        }
      }
    }
    return out;
  }

 private:
  uint64_t n_ = 0, size_ = 1;
  Numbers values_;
};

math::StridedDoubles view(const Numbers& m, uint64_t rows, uint64_t cols) {
  return math::row_major(m.data(), rows, cols);
}
math::StridedDoubles rows_of(const Numbers& m, uint64_t cols, uint64_t first, uint64_t count) {
  return math::row_major(m.data() + first * cols, count, cols);
}
math::StridedDoubles columns_of(const Numbers& m, uint64_t rows, uint64_t cols, uint64_t first,
                                uint64_t count) {
  return {m.data() + first, rows, count, cols, 1};
}

Numbers product(const math::StridedDoubles& a, const math::StridedDoubles& b, int threads) {
  Numbers out(a.rows * b.cols);
  math::matrix_product(a, b, out.data(), b.cols, ProductInto::kReplace, threads);
  return out;
}

// (a + a little)⁻¹ of a symmetric a.
Numbers inverse(Numbers a, uint64_t n) {
  double mean = 0;
  for (uint64_t i = 0; i < n; ++i) mean += a[i * n + i] / static_cast<double>(n);
  if (!(mean > 0) || !std::isfinite(mean)) return Numbers(n * n);
  for (double& v : a) v /= mean;
  for (uint64_t i = 0; i < n; ++i) a[i * n + i] += kLittle;
  factor(a, n, 1);
  Numbers out(n * n);
  math::inverse_of_factored(a.data(), n, out.data());
  for (double& v : out) v /= mean;
  return out;
}

// The best values of one group of a row of S beside all others, and their mask.
class Group {
 public:
  // q: curvature, t: half of the fall of the loss by each element, both size x size or size.
  Group(uint64_t size, const double* q, const double* t, const double* values)
      : n_(size), q_(q), aim_(size), values_(values) {
    for (uint64_t i = 0; i < n_; ++i) {
      aim_[i] = t[i];
      for (uint64_t j = 0; j < n_; ++j) aim_[i] += q_[i * n_ + j] * values[j];
    }
  }

  // Of the elements of a mask: those that leave least loss. Returns by how much more than at the
  // values that the group has.
  double solve(uint32_t mask, Numbers& out) {
    uint64_t k = 0;
    for (uint64_t i = 0; i < n_; ++i) {
      if (mask >> i & 1) at_[k++] = i;
    }
    double a[kMost][kMost + 1];
    for (uint64_t i = 0; i < k; ++i) {
      for (uint64_t j = 0; j < k; ++j) a[i][j] = q_[at_[i] * n_ + at_[j]];
      a[i][i] *= 1 + kLittle;
      a[i][k] = aim_[at_[i]];
    }
    for (uint64_t i = 0; i < k; ++i) {
      if (!(a[i][i] > 0)) return INFINITY;
      for (uint64_t r = i + 1; r < k; ++r) {
        const double f = a[r][i] / a[i][i];
        for (uint64_t j = i; j <= k; ++j) a[r][j] -= f * a[i][j];
      }
    }
    out.assign(n_, 0);
    for (uint64_t i = k; i-- > 0;) {
      double v = a[i][k];
      for (uint64_t j = i + 1; j < k; ++j) v -= a[i][j] * out[at_[j]];
      out[at_[i]] = v / a[i][i];
    }
    return loss(out) - loss({values_, values_ + n_});
  }

 private:
  static constexpr uint64_t kMost = kLongestGroup;

  double loss(const Numbers& v) const {
    double sum = 0;
    for (uint64_t i = 0; i < n_; ++i) {
      double qv = 0;
      for (uint64_t j = 0; j < n_; ++j) qv += q_[i * n_ + j] * v[j];
      sum += v[i] * (qv - 2 * aim_[i]);
    }
    return sum;
  }

  uint64_t n_;
  const double* q_;
  Numbers aim_;
  const double* values_;
  uint64_t at_[kMost] = {};
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
        weights_(task.weights.data, task.weights.data + task.weights.shape.size()),
        inputs_(damped_moments(task.inputs, cols_, options.damping).matrix),
        outputs_(rows_, 1.0) {
    if (!task.outputs.empty()) outputs_.assign(task.outputs.begin(), task.outputs.end());
    const double most = outputs_.empty() ? 0 : *std::ranges::max_element(outputs_);
    for (double& g : outputs_) g = most > 0 ? std::max(g / most, 1e-9) : 1;
    left_ = Blocks(rows_, block_of(factors.left, rows_));
    right_ = Blocks(cols_, block_of(factors.right, cols_));
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
    Matrix middle(task_.weights.shape);
    std::ranges::transform(middle_, middle.values.begin(),
                           [](double v) { return static_cast<float>(v); });
    std::vector<form::FormPtr> all;
    if (factors_.left) all.push_back(form::encode(*factors_.left, left_.dense().view()));
    all.push_back(form::SparseFit(factors_.middle, task_.weights.shape, keep_).form(middle.view()));
    if (factors_.right) all.push_back(form::encode(*factors_.right, right_.dense().view()));
    return measured(task_, form::product_of(std::move(all)));
  }

  Numbers times_left(const Numbers& m, bool transposed = false) const {
    if (!factors_.left) return m;
    Numbers out(m.size());
    for (uint64_t b = 0; b < left_.count(); ++b) {
      const auto block = transposed ? left_.block(b).transposed() : left_.block(b);
      math::matrix_product(block, rows_of(m, cols_, left_.first(b), left_.length(b)),
                           out.data() + left_.first(b) * cols_, cols_, ProductInto::kReplace,
                           threads_);
    }
    return out;
  }

  Numbers times_right(const Numbers& m, uint64_t rows, bool transposed = false) const {
    if (!factors_.right) return m;
    Numbers out(m.size());
    for (uint64_t b = 0; b < right_.count(); ++b) {
      const auto block = transposed ? right_.block(b).transposed() : right_.block(b);
      math::matrix_product(columns_of(m, rows, cols_, right_.first(b), right_.length(b)), block,
                           out.data() + right_.first(b), cols_, ProductInto::kReplace, threads_);
    }
    return out;
  }

  // What is left of the weights.
  void aim() {
    errors_ = times_right(times_left(middle_), rows_);
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
    const Numbers z = times_right(middle_, rows_), e = seen();
    const Numbers zh = product(view(z, rows_, cols_), view(inputs_, cols_, cols_), threads_);
    for (uint64_t b = 0; b < left_.count(); ++b) {
      const uint64_t at = left_.first(b), n = left_.length(b);
      const auto zb = rows_of(z, cols_, at, n);
      const Numbers gram = product(rows_of(zh, cols_, at, n), zb.transposed(), threads_);
      const Numbers cross = product(rows_of(e, cols_, at, n), zb.transposed(), threads_);
      const Numbers inverted = inverse(gram, n);
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
      const Numbers left = inverse(gram, n), right = inverse(moments, n);
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
    const Numbers hb = times_right(inputs_, cols_, true);  // H Bᵀ
    Numbers curvature(cols_ * cols_);                      // B H Bᵀ
    for (uint64_t b = 0; b < right_.count(); ++b) {
      math::matrix_product(right_.block(b), rows_of(hb, cols_, right_.first(b), right_.length(b)),
                           curvature.data() + right_.first(b) * cols_, cols_, ProductInto::kReplace,
                           threads_);
    }
    Numbers e = errors_;
    for (uint64_t i = 0; i < e.size(); ++i) e[i] *= outputs_[i / cols_];
    Numbers fall =
        times_left(product(view(e, rows_, cols_), view(hb, cols_, cols_), threads_), true);
    parallel_for(threads_, left_.count(),
                 [&](size_t b) { fit_rows(b, curvature, fall.data() + left_.first(b) * cols_); });
    aim();
  }

  // fall: half of how much the loss falls by each element of these rows of S.
  void fit_rows(uint64_t b, const Numbers& curvature, double* fall) {
    const uint64_t at = left_.first(b), n = left_.length(b);
    Numbers weighted(n * n);
    const auto block = left_.block(b);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        weighted[r * n + c] = outputs_[at + r] * block.data[r * block.row_stride + c];
      }
    }
    const Numbers mixed = product(block.transposed(), view(weighted, n, n), 1);  // Aᵀ G A
    const bool choose = sparse_.is_ratio() && sparse_.m <= kLongestGroup;
    const uint64_t length = choose ? sparse_.m : kTogether;
    Numbers q, best, tried, moved(cols_);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < cols_; c += length) {
        const uint64_t size = std::min(length, cols_ - c);
        double* values = middle_.data() + (at + r) * cols_ + c;
        uint8_t* keep = keep_.data() + (at + r) * cols_ + c;
        q.resize(size * size);
        for (uint64_t i = 0; i < size; ++i) {
          for (uint64_t j = 0; j < size; ++j) {
            q[i * size + j] = mixed[r * n + r] * curvature[(c + i) * cols_ + c + j];
          }
        }
        uint32_t mask = 0;
        for (uint64_t i = 0; i < size; ++i) mask |= keep[i] != 0 ? uint32_t{1} << i : 0;
        Group group(size, q.data(), fall + r * cols_ + c, values);
        double least = group.solve(mask, best);
        uint32_t chosen = mask;
        for (uint32_t other = 0; choose && other < uint32_t{1} << size; ++other) {
          if (std::popcount(other) != std::popcount(mask)) continue;
          const double change = group.solve(other, tried);
          if (!(change < least)) continue;
          least = change;
          chosen = other;
          std::swap(best, tried);
        }
        if (!(least < 0)) continue;
        std::ranges::fill(moved, 0.0);
        for (uint64_t i = 0; i < size; ++i) {
          const double d = best[i] - values[i];
          values[i] = best[i];
          keep[i] = chosen >> i & 1;
          if (d == 0) continue;
          const double* row = curvature.data() + (c + i) * cols_;
          for (uint64_t k = 0; k < cols_; ++k) moved[k] += d * row[k];
        }
        for (uint64_t i = 0; i < n; ++i) {
          const double m = mixed[i * n + r];
          if (m == 0) continue;
          for (uint64_t k = 0; k < cols_; ++k) fall[i * cols_ + k] -= m * moved[k];
        }
      }
    }
  }

  const Task& task_;
  const Factors& factors_;
  BlockFactorOptions options_;
  form::SparseOptions sparse_;
  int threads_;
  uint64_t rows_, cols_;
  Numbers weights_, inputs_, outputs_;
  Blocks left_, right_;
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
