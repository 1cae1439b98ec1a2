#include "pith/fit/greedy_removal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cheapest.h"
#include "elimination.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/sparse_fit.h"
#include "pith/math/cholesky.h"
#include "quantized_values.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Expression;
using form::Matrix;
using form::Shape;
using form::SparseOptions;

constexpr uint64_t kNone = ~uint64_t{0};

// Rows are looked into until they would lose this much of what they would keep on the average.
constexpr double kDeeper = 0.5;

// A weight is beyond the last level where it is so many steps away from the nearest.
constexpr double kBeyond = 0.501;

uint64_t cheapest_of(const Elimination& e, const auto& cost) {
  uint64_t best = kNone;
  double least = INFINITY;
  for (uint64_t p = 0; p < e.size(); ++p) {
    if (e.fixed(p)) continue;
    const double c = cost(p);
    if (c < least || best == kNone) {
      least = c;
      best = p;
    }
  }
  return best;
}

class Greedy {
 public:
  Greedy(const Task& task, double damping)
      : task_(task),
        threads_(thread_count(task.threads)),
        rows_(task.weights.shape.rows),
        n_(task.weights.shape.cols),
        weights_(task.weights.shape) {
    std::copy_n(task.weights.data, weights_.values.size(), weights_.values.begin());
    DampedMoments moments = damped_moments(task.inputs, n_, damping);
    factor(moments.matrix, n_, threads_);
    inverse_.resize(n_ * n_);
    math::inverse_of_factored(moments.matrix.data(), n_, inverse_.data(), threads_);
    // What no other column can make up for.
    for (uint64_t c = 0; c < n_; ++c) importance_.push_back(1 / inverse_[c * n_ + c]);
  }

  // Which are removed, so many in each row; the rest has made up for it.
  void remove(const SparseOptions& options) {
    keep_.assign(weights_.values.size(), 1);
    if (options.is_ratio()) {
      each_row([&](Elimination& e, uint64_t r) { remove_groups(e, r, options); });
      return;
    }
    const uint64_t all = weights_.values.size() - form::count_of(options.share, rows_ * n_);
    const double deepest = (1 - options.share * kDeeper) * static_cast<double>(n_);
    const auto most = std::min(n_, static_cast<uint64_t>(std::ceil(deepest)));
    std::vector<std::vector<double>> costs(rows_);
    each_row([&](Elimination& e, uint64_t r) {
      const double importance = task_.outputs.empty() ? 1 : task_.outputs[r];
      for (uint64_t k = 0; k < most; ++k) {
        const uint64_t p = cheapest_of(e, [&](uint64_t q) { return e.cost(q, 0); });
        costs[r].push_back(importance * e.cost(p, 0));
        e.fix(p, 0);
      }
    });
    const std::vector<uint64_t> counts = cheapest(costs, all);
    each_row([&](Elimination& e, uint64_t r) {
      for (uint64_t k = 0; k < counts[r]; ++k) {
        const uint64_t p = cheapest_of(e, [&](uint64_t q) { return e.cost(q, 0); });
        keep_[r * n_ + p] = 0;
        e.fix(p, 0);
      }
      put(e, r);
    });
  }

  // What is left, each value rounded by value(row, column, wanted), where rounded() says to what it
  // would be.
  template <class Values>
  void round(Values& values) {
    each_row([&](Elimination& e, uint64_t r) {
      // Those that were removed, for the others are what they have made up.
      for (uint64_t p = 0; p < n_; ++p) {
        if (keep_[r * n_ + p] == 0) e.fix(p, 0);
      }
      for (;;) {
        const uint64_t p = cheapest_of(e, [&](uint64_t q) {
          const double w = e.weight(q), v = values.rounded(r, q, static_cast<float>(w));
          // Those beyond the last level go first: the others can make up for most of it yet.
          const double off = std::fabs(w - v), step = values.step(r, q);
          return off > kBeyond * step ? -off : e.cost(q, v);
        });
        if (p == kNone) break;
        e.fix(p, values(r, p, static_cast<float>(e.weight(p))));
      }
    });
  }

  const Matrix& weights() const { return weights_; }
  std::span<const uint8_t> keep() const { return keep_; }
  std::span<const double> importance() const { return importance_; }
  void keep_all() { keep_.assign(weights_.values.size(), 1); }

 private:
  template <class Function>
  void each_row(const Function& function) {
    // Rows that share their memory.
    constexpr uint64_t kSome = 8;
    parallel_for(threads_, (rows_ + kSome - 1) / kSome, [&](size_t task) {
      Elimination e(inverse_, n_);
      for (uint64_t r = task * kSome; r < std::min((task + 1) * kSome, rows_); ++r) {
        e.begin(task_.weights.row(r));
        function(e, r);
      }
    });
  }

  void remove_groups(Elimination& e, uint64_t r, const SparseOptions& o) {
    const uint64_t m = std::min(o.m, n_);
    std::vector<uint64_t> left;  // to be removed of each group
    for (uint64_t at = 0; at < n_; at += m) {
      const uint64_t length = std::min(m, n_ - at);
      left.push_back(length - std::min(o.n, length));
    }
    for (uint64_t all = std::accumulate(left.begin(), left.end(), uint64_t{0}); all > 0; --all) {
      const uint64_t p =
          cheapest_of(e, [&](uint64_t q) { return left[q / m] > 0 ? e.cost(q, 0) : INFINITY; });
      --left[p / m];
      keep_[r * n_ + p] = 0;
      e.fix(p, 0);
    }
    put(e, r);
  }

  void put(const Elimination& e, uint64_t r) {
    for (uint64_t p = 0; p < n_; ++p) {
      weights_.row(r)[p] = keep_[r * n_ + p] != 0 ? static_cast<float>(e.weight(p)) : 0.0f;
    }
  }

  const Task& task_;
  int threads_;
  uint64_t rows_, n_;
  Matrix weights_;  // as far as they are found
  std::vector<double> importance_, inverse_;
  std::vector<uint8_t> keep_;
};

// Codes of a whole matrix.
class QuantizedMatrix {
 public:
  QuantizedMatrix(const Expression& expression, form::MatrixView weights,
                  std::span<const double> importance)
      : columns_(weights.shape.cols),
        fit_(expression, weights),
        scales_(fit_, weights, of_elements(weights.shape, importance)),
        codes_(weights.shape.size()) {}

  float operator()(uint64_t row, uint64_t column, float wanted) {
    const form::UniformScale scale = scales_.at(row, column);
    uint8_t& code = codes_[row * columns_ + column];
    code = fit_.code(wanted, scale);
    return fit_.value(code, scale);
  }
  float rounded(uint64_t row, uint64_t column, float wanted) const {
    const form::UniformScale scale = scales_.at(row, column);
    return fit_.value(fit_.code(wanted, scale), scale);
  }
  double step(uint64_t row, uint64_t column) const {
    return std::fabs(scales_.at(row, column).scale);
  }
  form::FormPtr form() {
    fit_.put(0, fit_.shape().rows, codes_.data());
    return fit_.form();
  }

 private:
  static std::vector<float> of_elements(Shape shape, std::span<const double> importance) {
    std::vector<float> all(shape.size());
    for (uint64_t i = 0; i < all.size(); ++i) {
      all[i] = static_cast<float>(importance[i % shape.cols]);
    }
    return all;
  }

  uint64_t columns_;
  form::UniformFit fit_;
  GroupScales scales_;
  std::vector<uint8_t> codes_;
};

Fitted fit_greedily(const Expression& expression, const Task& task, const GreedyOptions& options) {
  require_finite(task);
  task.inputs.require(task.weights.shape);
  const Fitted plain = measured(task, form::encode(expression, task.weights));
  const Shape shape = task.weights.shape;
  if (shape.size() == 0) return plain;
  if (shape.cols > kMostGreedyColumns) {
    fail(ErrorKind::kLimit, "{}: one weight at a time takes at most {} columns, got {}", task.name,
         kMostGreedyColumns, shape.cols);
  }
  Greedy greedy(task, options.damping);
  if (is_uniform(expression)) {
    QuantizedMatrix values(expression, task.weights, greedy.importance());
    greedy.keep_all();
    greedy.round(values);
    return better(measured(task, values.form()), plain);
  }
  greedy.remove(form::sparse_options(expression));
  const form::SparseFit sparse(expression, shape, greedy.keep());
  if (!is_uniform(sparse.values())) {
    return better(measured(task, sparse.form(greedy.weights().view())), plain);
  }
  QuantizedValues values(sparse, greedy.weights().view(), greedy.keep(), greedy.importance());
  greedy.round(values);
  return better(measured(task, sparse.form(values.form())), plain);
}

}  // namespace

Fitter greedy_fitter(const Expression& expression, const GreedyOptions& options) {
  if (!is_uniform(expression)) {
    const SparseOptions sparse = form::sparse_options(expression);
    if (!sparse.is_free() && !sparse.is_ratio()) {
      throw expression.place().error(ErrorKind::kUsage,
                                     "sparse: elements are chosen one by one, or n of m");
    }
  }
  return
      [expression, options](const Task& task) { return fit_greedily(expression, task, options); };
}

}  // namespace pith::fit
