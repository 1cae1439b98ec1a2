#include "pith/fit/kronecker_removal.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/masks.h"
#include "pith/math/cholesky.h"
#include "pith/math/matrix_product.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::Shape;
using Numbers = std::vector<double>;

constexpr int kRefitRounds = 60;
constexpr double kWorthwhile = 1e-5;

// Rows x columns, row-major.
Numbers product(const Numbers& a, const Numbers& b, uint64_t rows, uint64_t inner, uint64_t cols,
                int threads) {
  Numbers c(rows * cols);
  math::matrix_product(math::row_major(a.data(), rows, inner),
                       math::row_major(b.data(), inner, cols), c.data(), cols,
                       math::ProductInto::kReplace, threads);
  return c;
}

Numbers transposed(const Numbers& m, uint64_t rows, uint64_t cols) {
  Numbers t(m.size());
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) t[c * rows + r] = m[r * cols + c];
  }
  return t;
}

double dot(const Numbers& a, const Numbers& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

Numbers inverse_of(const Numbers& matrix, uint64_t n, int threads) {
  Numbers lower = matrix, inverse(n * n);
  factor(lower, n, threads);
  math::inverse_of_factored(lower.data(), n, inverse.data(), threads);
  return inverse;
}

// Both curvatures, damped, and in units of their means.
struct Curvature {
  Curvature(const Task& task, const Metric& outputs, double damping)
      : threads(thread_count(task.threads)),
        rows(task.weights.shape.rows),
        cols(task.weights.shape.cols) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    outputs.require({0, rows});
    DampedMoments out = damped_moments(outputs, rows, damping),
                  in = damped_moments(task.inputs, cols, damping);
    unit = out.mean * in.mean;
    g = std::move(out.matrix);
    a = std::move(in.matrix);
  }

  // G m A.
  Numbers times(const Numbers& m) const {
    return product(product(g, m, rows, rows, cols, threads), a, rows, cols, cols, threads);
  }

  int threads;
  uint64_t rows, cols;
  double unit;
  Numbers g, a;
};

// m without some of its rows, of which the others take up what they can:
// m_K + G_KK⁻¹ G_KR m_R.
class RowRemoval {
 public:
  RowRemoval(Numbers m, uint64_t rows, uint64_t cols, Numbers own, Numbers other, int threads)
      : m_(std::move(m)),
        rows_(rows),
        cols_(cols),
        own_(std::move(own)),
        other_(std::move(other)),
        threads_(threads),
        left_(rows) {
    std::iota(left_.begin(), left_.end(), uint64_t{0});
  }

  // Removes the cheapest rows, so that `keep` are left.
  void run(uint64_t keep, int shots, bool update) {
    const uint64_t all = rows_ - keep;
    for (int shot = 1; shot <= shots; ++shot) {
      const auto s = static_cast<uint64_t>(shot), n = static_cast<uint64_t>(shots);
      remove(left_.size() - (rows_ - all * s / n), update);
    }
  }

  const Numbers& matrix() const { return m_; }
  const std::vector<uint64_t>& left() const { return left_; }

 private:
  void remove(uint64_t count, bool update) {
    if (count == 0) return;
    const uint64_t n = left_.size();
    const Numbers curvature = part(left_, left_), inverse = inverse_of(curvature, n, threads_);
    const Numbers products = product(m_, other_, rows_, cols_, cols_, threads_);
    std::vector<std::pair<double, uint64_t>> costs(n);
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t r = left_[i];
      double sum = 0;
      for (uint64_t c = 0; c < cols_; ++c) sum += products[r * cols_ + c] * m_[r * cols_ + c];
      costs[i] = {sum / inverse[i * n + i], r};
    }
    std::ranges::sort(costs);
    std::vector<uint64_t> gone, stay;
    for (uint64_t i = 0; i < n; ++i) (i < count ? gone : stay).push_back(costs[i].second);
    std::ranges::sort(gone);
    std::ranges::sort(stay);
    if (update && !stay.empty()) {
      const Numbers moved =
          product(part(stay, gone), rows_of(gone), stay.size(), gone.size(), cols_, threads_);
      const Numbers taken = product(inverse_of(part(stay, stay), stay.size(), threads_), moved,
                                    stay.size(), stay.size(), cols_, threads_);
      for (uint64_t i = 0; i < stay.size(); ++i) {
        for (uint64_t c = 0; c < cols_; ++c) m_[stay[i] * cols_ + c] += taken[i * cols_ + c];
      }
    }
    for (const uint64_t r : gone) {
      std::fill_n(m_.begin() + static_cast<int64_t>(r * cols_), cols_, 0.0);
    }
    left_ = std::move(stay);
  }

  Numbers part(const std::vector<uint64_t>& rows, const std::vector<uint64_t>& cols) const {
    Numbers out;
    for (const uint64_t r : rows) {
      for (const uint64_t c : cols) out.push_back(own_[r * rows_ + c]);
    }
    return out;
  }
  Numbers rows_of(const std::vector<uint64_t>& rows) const {
    Numbers out;
    for (const uint64_t r : rows) {
      const auto at = m_.begin() + static_cast<int64_t>(r * cols_);
      out.insert(out.end(), at, at + static_cast<int64_t>(cols_));
    }
    return out;
  }

  Numbers m_;
  uint64_t rows_, cols_;
  Numbers own_, other_;  // curvature of rows and of columns
  int threads_;
  std::vector<uint64_t> left_;
};

// The values of kept elements of least tr(G E A Eᵀ), by conjugate gradients.
Matrix refitted(const Curvature& curvature, MatrixView weights, std::span<const uint8_t> keep) {
  const uint64_t n = weights.shape.size(), cols = weights.shape.cols;
  Numbers left(n), diagonal(n);
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t r = i / cols, c = i % cols;
    left[i] = keep[i] != 0 ? 0 : double{weights.data[i]};
    diagonal[i] = curvature.g[r * curvature.rows + r] * curvature.a[c * cols + c];
  }
  Numbers residual = curvature.times(left), scaled(n);
  const auto precondition = [&] {
    for (uint64_t i = 0; i < n; ++i) scaled[i] = keep[i] != 0 ? residual[i] / diagonal[i] : 0;
    return dot(scaled, residual);
  };
  double steepness = precondition(), gained = 0;
  Numbers direction = scaled;
  for (int round = 0; round < kRefitRounds && steepness > 0; ++round) {
    const Numbers moved = curvature.times(direction);
    const double bent = dot(direction, moved);
    if (!(bent > 0)) break;
    const double length = steepness / bent;
    for (uint64_t i = 0; i < n; ++i) {
      left[i] -= length * direction[i];
      residual[i] -= length * moved[i];
    }
    gained += length * steepness;
    if (!(length * steepness > kWorthwhile * gained)) break;
    const double before = steepness;
    steepness = precondition();
    for (uint64_t i = 0; i < n; ++i) {
      direction[i] = scaled[i] + steepness / before * direction[i];
    }
  }
  Matrix out(weights.shape);
  for (uint64_t i = 0; i < n; ++i) {
    out.values[i] = keep[i] != 0 ? static_cast<float>(weights.data[i] - left[i]) : 0.0f;
  }
  return out;
}

RemovalCosts costs_of(const Curvature& k, MatrixView weights) {
  RemovalCosts out;
  const Numbers w(weights.data, weights.data + weights.shape.size());
  const auto diagonal = [&](const Numbers& matrix, uint64_t n) {
    const Numbers inverse = inverse_of(matrix, n, k.threads);
    Numbers d(n);
    for (uint64_t i = 0; i < n; ++i) d[i] = inverse[i * n + i];
    return d;
  };
  out.row_inverse = diagonal(k.g, k.rows);
  out.column_inverse = diagonal(k.a, k.cols);
  out.rows.resize(k.rows);
  out.columns.resize(k.cols);
  const Numbers wa = product(w, k.a, k.rows, k.cols, k.cols, k.threads),
                gw = product(k.g, w, k.rows, k.rows, k.cols, k.threads);
  for (uint64_t i = 0; i < w.size(); ++i) {
    const uint64_t r = i / k.cols, c = i % k.cols;
    out.rows[r] += k.unit * w[i] * wa[i] / (2 * out.row_inverse[r]);
    out.columns[c] += k.unit * w[i] * gw[i] / (2 * out.column_inverse[c]);
  }
  for (double& d : out.row_inverse) d /= k.unit;  // one of both is enough for their product
  return out;
}

Matrix without_rows_or_columns(const Curvature& k, MatrixView weights, bool rows, double share,
                               const KroneckerOptions& options) {
  const Numbers w(weights.data, weights.data + weights.shape.size());
  RowRemoval removal =
      rows ? RowRemoval(w, k.rows, k.cols, k.g, k.a, k.threads)
           : RowRemoval(transposed(w, k.rows, k.cols), k.cols, k.rows, k.a, k.g, k.threads);
  removal.run(form::count_of(share, rows ? k.rows : k.cols), options.shots, options.update);
  const Numbers left = rows ? removal.matrix() : transposed(removal.matrix(), k.cols, k.rows);
  Matrix out(weights.shape);
  std::ranges::transform(left, out.values.begin(), [](double v) { return static_cast<float>(v); });
  return out;
}

Fitted fit(const form::Expression& expression, const Task& task, const Metric& outputs,
           const KroneckerOptions& options) {
  const form::SparseOptions sparse = form::sparse_options(expression);
  const auto with_error = [&](form::FormPtr form) {
    const double e = kronecker_error(outputs, task.inputs, task.weights, form::decode(*form).view(),
                                     task.threads);
    return Fitted{std::move(form), e};
  };
  if (task.weights.shape.size() == 0) return {form::encode(expression, task.weights), 0};
  const Curvature k(task, outputs, options.damping);
  Fitted plain = with_error(form::encode(expression, task.weights));
  if (!sparse.is_free() && !sparse.is_ratio()) {
    const bool rows = sparse.pattern == form::SparsePattern::kRows;
    const Matrix left = without_rows_or_columns(k, task.weights, rows, sparse.share, options);
    return better(with_error(form::encode(expression, left.view())), std::move(plain));
  }
  const RemovalCosts costs = costs_of(k, task.weights);
  std::vector<double> cost(task.weights.shape.size());
  for (uint64_t i = 0; i < cost.size(); ++i) {
    cost[i] = costs.element(task.weights, i / k.cols, i % k.cols);
  }
  const double most = std::ranges::max(cost);
  std::vector<float> scores;
  for (const double c : cost) scores.push_back(static_cast<float>(most > 0 ? c / most : 0));
  const auto keep = kept(sparse, task.weights.shape, scores);
  const form::SparseFit made(expression, task.weights.shape, keep);
  Fitted masked = with_error(made.form(task.weights));
  if (options.update) {
    masked = better(with_error(made.form(refitted(k, task.weights, keep).view())), masked);
  }
  return better(std::move(masked), std::move(plain));
}

}  // namespace

double RemovalCosts::element(MatrixView weights, uint64_t row, uint64_t column) const {
  const double w = weights.row(row)[column];
  return w * w / (2 * row_inverse[row] * column_inverse[column]);
}

double kronecker_error(const Metric& outputs, const Metric& inputs, MatrixView matrix,
                       MatrixView decoded, int threads) {
  if (matrix.shape != decoded.shape) {
    fail(ErrorKind::kUsage, "an error between {} x {} and {} x {}", matrix.shape.rows,
         matrix.shape.cols, decoded.shape.rows, decoded.shape.cols);
  }
  inputs.require(matrix.shape);
  outputs.require({0, matrix.shape.rows});
  const uint64_t rows = matrix.shape.rows, cols = matrix.shape.cols;
  Numbers e(rows * cols);
  for (uint64_t i = 0; i < e.size(); ++i) e[i] = double{matrix.data[i]} - decoded.data[i];
  const auto whole = [](const Metric& metric, uint64_t n) {
    if (metric.kind() == Metric::Kind::kSecondMoments) {
      return Numbers(metric.matrix().begin(), metric.matrix().end());
    }
    Numbers m(n * n);
    for (uint64_t i = 0; i < n; ++i) m[i * n + i] = metric.importance(i);
    return m;
  };
  threads = thread_count(threads);
  return dot(product(whole(outputs, rows), e, rows, rows, cols, threads),
             product(e, whole(inputs, cols), rows, cols, cols, threads));
}

RemovalCosts removal_costs(const Task& task, const Metric& outputs,
                           const KroneckerOptions& options) {
  return costs_of(Curvature(task, outputs, options.damping), task.weights);
}

Fitter kronecker_fitter(const form::Expression& expression, OutputMoments outputs,
                        const KroneckerOptions& options) {
  if (form::sparse_options(expression).pattern == form::SparsePattern::kBlocks) {
    throw expression.place().error(ErrorKind::kUsage,
                                   "sparse: rows, columns, single elements or n of m");
  }
  if (options.shots < 1) fail(ErrorKind::kUsage, "shots must be at least 1");
  return [=](const Task& task) {
    if (outputs) return fit(expression, task, outputs(task), options);
    if (!task.output_moments) {
      fail(ErrorKind::kUsage, "{}: nothing is known of how gradients of its outputs go together",
           task.name);
    }
    return fit(expression, task, *task.output_moments, options);
  };
}

}  // namespace pith::fit
