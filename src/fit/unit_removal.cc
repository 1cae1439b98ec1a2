#include "pith/fit/unit_removal.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/cholesky.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {

using form::Matrix;
using form::MatrixView;

namespace {

// Columns of the kept units, in their order.
std::vector<uint64_t> columns_of(const UnitMoments& moments, std::span<const uint32_t> kept) {
  std::vector<uint64_t> columns;
  for (const uint32_t unit : kept) {
    if (unit >= moments.units()) {
      fail(ErrorKind::kUsage, "there is no unit {} of {}", unit, moments.units());
    }
    for (uint64_t c = 0; c < moments.group(); ++c) columns.push_back(unit * moments.group() + c);
  }
  return columns;
}

void require_columns(const UnitMoments& moments, MatrixView weights) {
  if (weights.shape.cols == moments.columns()) return;
  fail(ErrorKind::kUsage, "weights of {} columns read {} hidden values", weights.shape.cols,
       moments.columns());
}

// a⁻¹ in its place. Damped matrices always have one; rounding may need a little more damping.
void invert(std::vector<double>& a, uint64_t n, int threads) {
  double mean = 0;
  for (uint64_t i = 0; i < n; ++i) mean += a[i * n + i] / static_cast<double>(n);
  for (double more = 0; more < 1; more = more == 0 ? 1e-12 : more * 100) {
    std::vector<double> l = a;
    for (uint64_t i = 0; i < n; ++i) l[i * n + i] += more * mean;
    if (!math::cholesky(l.data(), n, threads)) continue;
    math::inverse_of_factored(l.data(), n, a.data(), threads);
    return;
  }
  fail(ErrorKind::kData, "second moments of hidden values are not positive definite");
}

// One column of a symmetric matrix after another is eliminated; what is left of column p is that of
// the matrix less the products of those kept here.
class Eliminated {
 public:
  explicit Eliminated(std::span<const double> matrix, uint64_t n, int threads)
      : matrix_(matrix), n_(n), threads_(threads), rest_(n), rows_(n) {
    for (uint64_t i = 0; i < n; ++i) rest_[i] = matrix[i * n + i];
  }

  double rest(uint64_t i) const { return rest_[i]; }
  double at(uint64_t r, uint64_t c) const {
    return matrix_[r * n_ + c] -
           std::inner_product(rows_[r].begin(), rows_[r].end(), rows_[c].begin(), 0.0);
  }
  // The column over the root of its pivot; what is eliminated has nothing left.
  std::vector<double> take(uint64_t p) {
    std::vector<double> column(n_);
    const double root = std::sqrt(rest_[p]);
    constexpr uint64_t kSome = 256;
    parallel_for(threads_, (n_ + kSome - 1) / kSome, [&](size_t k) {
      for (uint64_t i = k * kSome; i < std::min((k + 1) * kSome, n_); ++i) {
        column[i] = at(i, p) / root;
      }
    });
    for (uint64_t i = 0; i < n_; ++i) {
      rows_[i].push_back(column[i]);
      rest_[i] = std::max(rest_[i] - column[i] * column[i], 0.0);
    }
    rest_[p] = 0;
    return column;
  }

 private:
  std::span<const double> matrix_;
  uint64_t n_;
  int threads_;
  std::vector<double> rest_;
  std::vector<std::vector<double>> rows_;
};

// What it costs to remove all columns of a unit: the sum over rows of w_S (C_SS)⁻¹ w_Sᵀ. columns:
// of the weights, one after the other, each of `rows`.
double cost_of(const Eliminated& inverse, const std::vector<std::vector<double>>& columns,
               uint64_t first, uint64_t group) {
  if (group == 1) {
    const auto& w = columns[first];
    return std::inner_product(w.begin(), w.end(), w.begin(), 0.0) / inverse.rest(first);
  }
  std::vector<double> block(group * group);
  for (uint64_t a = 0; a < group; ++a) {
    for (uint64_t b = 0; b < group; ++b) block[a * group + b] = inverse.at(first + a, first + b);
  }
  invert(block, group, 1);
  double cost = 0;
  for (uint64_t a = 0; a < group; ++a) {
    for (uint64_t b = 0; b < group; ++b) {
      const auto &x = columns[first + a], &y = columns[first + b];
      cost += block[a * group + b] * std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
    }
  }
  return cost;
}

}  // namespace

UnitMoments::UnitMoments(const Metric& metric, uint64_t group, double damping, int threads)
    : columns_(metric.columns()), group_(group), threads_(thread_count(threads)) {
  if (metric.kind() != Metric::Kind::kSecondMoments) {
    fail(ErrorKind::kUsage, "units are removed by second moments of their values");
  }
  if (group == 0 || columns_ % group != 0) {
    fail(ErrorKind::kUsage, "{} columns are no whole units of {}", columns_, group);
  }
  if (!(damping > 0) || !std::isfinite(damping)) {
    fail(ErrorKind::kUsage, "damping must be above 0, not {}", damping);
  }
  matrix_.assign(metric.matrix().begin(), metric.matrix().end());
  double mean = 0;
  for (uint64_t i = 0; i < columns_; ++i) {
    mean += matrix_[i * columns_ + i] / static_cast<double>(columns_);
  }
  added_ = mean > 0 ? damping * mean : 1;
  for (uint64_t i = 0; i < columns_; ++i) matrix_[i * columns_ + i] += added_;
}

std::vector<double> UnitMoments::inverse() const {
  std::vector<double> out = matrix_;
  invert(out, columns_, threads_);
  return out;
}

std::vector<uint32_t> pivoted_units(const UnitMoments& moments, uint64_t count) {
  const uint64_t group = moments.group(), units = moments.units();
  Eliminated left(moments.matrix(), moments.columns(), moments.threads());
  std::vector<uint8_t> chosen(units);
  std::vector<uint32_t> kept;
  while (kept.size() < std::min(count, units)) {
    uint64_t best = units;
    double most = -1;
    for (uint64_t u = 0; u < units; ++u) {
      if (chosen[u]) continue;
      double rest = 0;
      for (uint64_t c = 0; c < group; ++c) rest += left.rest(u * group + c);
      if (rest > most) std::tie(best, most) = std::pair(u, rest);
    }
    chosen[best] = 1;
    kept.push_back(static_cast<uint32_t>(best));
    for (uint64_t c = 0; c < group; ++c) {
      if (left.rest(best * group + c) > 0) left.take(best * group + c);
    }
  }
  std::ranges::sort(kept);
  return kept;
}

std::vector<double> leverage_scores(const UnitMoments& moments) {
  const std::vector<double> inverse = moments.inverse();
  std::vector<double> scores(moments.units());
  for (uint64_t c = 0; c < moments.columns(); ++c) {
    scores[c / moments.group()] += 1 - moments.added() * inverse[c * moments.columns() + c];
  }
  return scores;
}

RemovalPath removal_path(const UnitMoments& moments, MatrixView weights) {
  require_columns(moments, weights);
  const uint64_t n = moments.columns(), rows = weights.shape.rows, group = moments.group();
  const std::vector<double> inverse = moments.inverse();
  Eliminated left(inverse, n, moments.threads());
  std::vector<std::vector<double>> columns(n, std::vector<double>(rows));
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < n; ++c) columns[c][r] = weights.row(r)[c];
  }
  RemovalPath path{.order = {}, .errors = {0}};
  std::vector<uint8_t> gone(moments.units());
  while (path.order.size() < moments.units()) {
    uint64_t best = 0;
    double least = INFINITY;
    for (uint64_t u = 0; u < gone.size(); ++u) {
      if (gone[u]) continue;
      const double cost = cost_of(left, columns, u * group, group);
      if (cost < least) std::tie(best, least) = std::pair(u, cost);
    }
    if (least == INFINITY) fail(ErrorKind::kData, "what it costs to remove units is no number");
    gone[best] = 1;
    path.order.push_back(static_cast<uint32_t>(best));
    path.errors.push_back(path.errors.back() + least);
    for (uint64_t p = best * group; p < (best + 1) * group; ++p) {
      const double root = std::sqrt(left.rest(p));
      const std::vector<double> taken = left.take(p);
      const std::vector<double> removed = columns[p];
      parallel_for(moments.threads(), gone.size(), [&](size_t u) {
        if (gone[u] && u != best) return;
        for (uint64_t c = u * group; c < (u + 1) * group; ++c) {
          const double share = taken[c] / root;
          for (uint64_t r = 0; r < rows; ++r) columns[c][r] -= share * removed[r];
        }
      });
    }
  }
  return path;
}

Matrix selected(const UnitMoments& moments, MatrixView weights, std::span<const uint32_t> kept) {
  require_columns(moments, weights);
  const std::vector<uint64_t> columns = columns_of(moments, kept);
  Matrix out({weights.shape.rows, columns.size()});
  for (uint64_t r = 0; r < weights.shape.rows; ++r) {
    for (size_t c = 0; c < columns.size(); ++c) out.row(r)[c] = weights.row(r)[columns[c]];
  }
  return out;
}

Matrix folded(const UnitMoments& moments, MatrixView weights, std::span<const uint32_t> kept) {
  require_columns(moments, weights);
  const std::vector<uint64_t> columns = columns_of(moments, kept);
  const uint64_t n = moments.columns(), k = columns.size(), rows = weights.shape.rows;
  Matrix out({rows, k});
  if (k == 0) return out;
  std::vector<double> among(k * k), all(n * k);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < k; ++c) all[r * k + c] = moments.at(r, columns[c]);
  }
  for (uint64_t r = 0; r < k; ++r) std::copy_n(&all[columns[r] * k], k, &among[r * k]);
  invert(among, k, moments.threads());
  // T = H_:K H_KK⁻¹, then W T.
  std::vector<double> shares(n * k), made(rows * k);
  math::matrix_product(math::row_major(all.data(), n, k), math::row_major(among.data(), k, k),
                       shares.data(), k, math::ProductInto::kReplace, moments.threads());
  const std::vector<double> w(weights.data, weights.data + rows * n);
  math::matrix_product(math::row_major(w.data(), rows, n), math::row_major(shares.data(), n, k),
                       made.data(), k, math::ProductInto::kReplace, moments.threads());
  std::ranges::transform(made, out.values.begin(), [](double v) { return static_cast<float>(v); });
  return out;
}

double removal_error(const UnitMoments& moments, MatrixView weights, std::span<const uint32_t> kept,
                     MatrixView smaller) {
  require_columns(moments, weights);
  const std::vector<uint64_t> columns = columns_of(moments, kept);
  const uint64_t n = moments.columns(), rows = weights.shape.rows;
  if (smaller.shape != form::Shape{rows, columns.size()}) {
    fail(ErrorKind::kUsage, "{} x {} weights for {} columns", smaller.shape.rows,
         smaller.shape.cols, columns.size());
  }
  std::vector<double> off(weights.data, weights.data + rows * n), product(rows * n);
  for (uint64_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns.size(); ++c) off[r * n + columns[c]] -= smaller.row(r)[c];
  }
  math::matrix_product(math::row_major(off.data(), rows, n),
                       math::row_major(moments.matrix().data(), n, n), product.data(), n,
                       math::ProductInto::kReplace, moments.threads());
  return std::inner_product(off.begin(), off.end(), product.begin(), 0.0);
}

std::vector<uint32_t> highest_units(std::span<const double> scores, uint64_t count) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, std::greater<>(), [&](uint32_t u) { return scores[u]; });
  order.resize(std::min<uint64_t>(count, order.size()));
  std::ranges::sort(order);
  return order;
}

}  // namespace pith::fit
