#include "pith/fit/factors.h"

#include <algorithm>
#include <cmath>

#include "numbers.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/kronecker_removal.h"
#include "pith/fit/low_rank.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::MatrixView;
using form::Shape;

constexpr int64_t kMostRank = 1 << 20;
constexpr double kWorthwhile = 0.999;

// What stands in the expression.
struct Factors {
  Expression left, right;
  uint64_t rank = kMostRank;

  explicit Factors(const Expression& e) : left(e), right(e) {
    const auto is = [](const Expression& f, std::string_view name) {
      return f.is_call() && f.name() == name;
    };
    const auto all = e.operands();
    const bool fits = e.kind() == Expression::Kind::kProduct &&
                      (all.size() == 2 || (all.size() == 3 && is(all[1], "rank"))) &&
                      is(all.front(), "dense") && is(all.back(), "sparse");
    if (!fits) {
      throw e.place().error(
          ErrorKind::kUsage,
          fmt::format("`{}` is no `dense(...) * rank(r) * sparse(...)`", form::to_string(e)));
    }
    left = all.front();
    right = all.back();
    if (all.size() == 3) {
      const form::Arguments args(all[1], {"rank"});
      rank = static_cast<uint64_t>(args.integer("rank", 0, kMostRank));
    }
  }
};

class Turns {
 public:
  Turns(const Task& task, const Factors& factors, const FactorOptions& options)
      : task_(task),
        factors_(factors),
        options_(options),
        threads_(thread_count(task.threads)),
        rows_(task.weights.shape.rows),
        cols_(task.weights.shape.cols),
        weights_(numbers(task.weights)),
        inputs_(damped_moments(task.inputs, cols_, options.damping)) {
    const Truncation start(task, factors.rank, {options.damping});
    rank_ = start.rank();
    left_ = form::encode(factors.left, start.left(rank_).view());
    target_ = numbers(start.right(rank_).view());
  }

  uint64_t rank() const { return rank_; }

  Fitted run() {
    Fitted best{nullptr, INFINITY};
    for (int round = 0; round < options_.rounds; ++round) {
      fit_right();
      const Fitted now = measured(task_, form::product_of({left_, right_}));
      const double before = best.error;
      best = better(std::move(best), now);
      if (!(now.error < kWorthwhile * before)) break;
      if (!fit_left()) break;
      best = better(std::move(best), measured(task_, form::product_of({left_, right_})));
      aim_right();
    }
    return best;
  }

 private:
  // The right factor nearest to its target by Lᵀ L and the inputs' second moments.
  void fit_right() {
    const Numbers l = numbers(form::decode(*left_).view());
    const auto of = view(l, rows_, rank_);
    Numbers gram = product(of.transposed(), of, threads_);
    for (uint64_t r = 0; r < rank_; ++r) {
      for (uint64_t c = 0; c < r; ++c) gram[c * rank_ + r] = gram[r * rank_ + c];
    }
    const Metric outputs = Metric::second_moments(rank_, std::move(gram));
    const Matrix wanted = matrix(target_, {rank_, cols_});
    const Task task{task_.name, wanted.view(), task_.inputs, {}, task_.threads};
    right_ = kronecker_fitter(factors_.right, [&](const Task&) { return outputs; },
                              {options_.damping, 1, true})(task)
                 .form;
  }

  // m a⁻¹ for a symmetric a, which is damped a little.
  Numbers divided(const Numbers& m, Numbers a, uint64_t rows) const {
    constexpr double kLittle = 1e-9;
    const Numbers inverse = damped_inverse(std::move(a), rank_, kLittle, threads_);
    return product(view(m, rows, rank_), view(inverse, rank_, rank_), threads_);
  }

  // L = W A Sᵀ (S A Sᵀ)⁻¹. False where there is none.
  bool fit_left() {
    const Numbers s = numbers(form::decode(*right_).view());
    const Numbers sa = product(view(s, rank_, cols_), view(inputs_.matrix, cols_, cols_), threads_);
    const auto turned = view(sa, rank_, cols_).transposed();
    const Numbers l = divided(product(view(weights_, rows_, cols_), turned, threads_),
                              product(view(s, rank_, cols_), turned, threads_), rows_);
    if (!std::ranges::all_of(l, [](double v) { return std::isfinite(v); })) return false;
    left_ = form::encode(factors_.left, matrix(l, {rows_, rank_}).view());
    return true;
  }

  // The best right factor if nothing kept it from that: (Lᵀ L)⁻¹ Lᵀ W.
  void aim_right() {
    const Numbers l = numbers(form::decode(*left_).view());
    const auto of = view(l, rows_, rank_);
    const Numbers turned = divided(product(view(weights_, rows_, cols_).transposed(), of, threads_),
                                   product(of.transposed(), of, threads_), cols_);
    for (uint64_t c = 0; c < cols_; ++c) {
      for (uint64_t k = 0; k < rank_; ++k) target_[k * cols_ + c] = turned[c * rank_ + k];
    }
  }

  const Task& task_;
  const Factors& factors_;
  FactorOptions options_;
  int threads_;
  uint64_t rows_, cols_, rank_ = 0;
  Numbers weights_;
  DampedMoments inputs_;
  form::FormPtr left_, right_;
  Numbers target_;  // of the right factor
};

}  // namespace

Fitter factor_fitter(const Expression& expression, const FactorOptions& options) {
  const Factors factors(expression);
  return [=](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    Fitted plain = measured(task, form::encode(expression, task.weights));
    if (task.weights.shape.size() == 0 || factors.rank == 0) return plain;
    return better(Turns(task, factors, options).run(), std::move(plain));
  };
}

}  // namespace pith::fit
