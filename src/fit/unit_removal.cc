#include "pith/fit/unit_removal.h"

#include <algorithm>
#include <cmath>
#include <functional>
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

// Columns after which what they change is worked into matrices, all at once.
constexpr uint64_t kBlock = 64;
// Calls f with parts of n columns, one for each thread: memory gives long rows faster.
void for_parts(uint64_t n, int threads, const std::function<void(uint64_t, uint64_t)>& f) {
  constexpr uint64_t kLeast = 256;
  const uint64_t each = std::max(kLeast, n / static_cast<uint64_t>(thread_count(threads)) + 1);
  parallel_for(threads, (n + each - 1) / each,
               [&](size_t part) { f(part * each, std::min((part + 1) * each, n)); });
}

// sums[i] -= the sum over k of shares[k] * rows[k * n + i], for n of them and i from begin to end.
void subtract_rows(std::span<const double> shares, const double* rows, uint64_t n, uint64_t begin,
                   uint64_t end, double* sums) {
  for (uint64_t k = 0; k < shares.size(); ++k) {
    const double share = shares[k], *row = rows + k * n;
    for (uint64_t i = begin; i < end; ++i) sums[i] -= share * row[i];
  }
}

// One column of a symmetric matrix after another is eliminated.
class Eliminated {
 public:
  Eliminated(std::vector<double> matrix, uint64_t n, int threads)
      : matrix_(std::move(matrix)), n_(n), threads_(threads), rest_(n) {
    for (uint64_t i = 0; i < n; ++i) rest_[i] = matrix_[i * n + i];
    taken_.reserve(kBlock * n);
  }

  double rest(uint64_t i) const { return rest_[i]; }
  double at(uint64_t r, uint64_t c) const {
    double sum = matrix_[r * n_ + c];
    for (uint64_t k = 0; k < taken_.size(); k += n_) sum -= taken_[k + r] * taken_[k + c];
    return sum;
  }
  // The column over the root of its pivot; what is eliminated has nothing left. Until the next.
  std::span<const double> take(uint64_t p) {
    if (taken_.size() == kBlock * n_) work_in();
    const uint64_t before = taken_.size() / n_;
    std::vector<double> shares(before);
    for (uint64_t k = 0; k < before; ++k) shares[k] = taken_[k * n_ + p];
    taken_.insert(taken_.end(), &matrix_[p * n_], &matrix_[p * n_] + n_);
    double* const column = &taken_[before * n_];
    const double root = std::sqrt(rest_[p]);
    for_parts(n_, threads_, [&](uint64_t begin, uint64_t end) {
      subtract_rows(shares, taken_.data(), n_, begin, end, column);
      for (uint64_t i = begin; i < end; ++i) {
        column[i] /= root;
        rest_[i] = std::max(rest_[i] - column[i] * column[i], 0.0);
      }
    });
    rest_[p] = 0;
    return {column, n_};
  }
  // Elements are then at hand.
  void work_in() {
    if (taken_.empty()) return;
    const auto rows = math::row_major(taken_.data(), taken_.size() / n_, n_);
    math::matrix_product(rows.transposed(), rows, matrix_.data(), n_, math::ProductInto::kSubtract,
                         threads_);
    taken_.clear();
  }

 private:
  std::vector<double> matrix_;  // less what is in taken_
  uint64_t n_;
  int threads_;
  std::vector<double> rest_;
  std::vector<double> taken_;  // columns, one after the other
};

// Weights of which one column after another goes, the others taking over shares of it.
class Compensated {
 public:
  Compensated(MatrixView weights, int threads)
      : rows_(weights.shape.rows),
        threads_(threads),
        weights_(weights.data, weights.data + weights.shape.size()),
        there_(weights.shape.cols),
        place_(weights.shape.cols),
        squares_(weights.shape.cols) {
    std::iota(there_.begin(), there_.end(), 0U);
    place_ = there_;
    count_squares();
  }

  // Of a column: |w|².
  double squares(uint64_t c) const { return squares_[place_[c]]; }
  std::vector<double> column(uint64_t c) const {
    const uint64_t n = there_.size(), at = place_[c];
    std::vector<double> out(rows_);
    for (uint64_t r = 0; r < rows_; ++r) out[r] = weights_[r * n + at];
    for (uint64_t k = 0; k < gone_.size(); ++k) {
      for (uint64_t r = 0; r < rows_; ++r) out[r] -= shares_[k * n + at] * taken_[k * rows_ + r];
    }
    return out;
  }
  // Column p goes, and column c becomes itself less shares[c] / root times that.
  void take(uint64_t p, std::span<const double> shares, double root) {
    const uint64_t n = there_.size(), before = gone_.size();
    const std::vector<double> taken = column(p);
    std::vector<double> with(before);  // the products of this and those that went before
    for (uint64_t k = 0; k < before; ++k)
      with[k] = std::inner_product(taken.begin(), taken.end(), &taken_[k * rows_], 0.0);
    const double own = std::inner_product(taken.begin(), taken.end(), taken.begin(), 0.0);
    shares_.resize((before + 1) * n);
    double* const mine = &shares_[before * n];
    products_.assign(n, 0);
    for_parts(n, threads_, [&](uint64_t begin, uint64_t end) {
      for (uint64_t r = 0; r < rows_; ++r) {
        const double x = taken[r], *row = &weights_[r * n];
        for (uint64_t c = begin; c < end; ++c) products_[c] += x * row[c];
      }
      subtract_rows(with, shares_.data(), n, begin, end, products_.data());
      for (uint64_t c = begin; c < end; ++c) {
        mine[c] = shares[there_[c]] / root;
        squares_[c] = std::max(squares_[c] + mine[c] * (mine[c] * own - 2 * products_[c]), 0.0);
      }
    });
    taken_.insert(taken_.end(), taken.begin(), taken.end());
    gone_.push_back(place_[p]);
    if (gone_.size() == kBlock) work_in();
  }
  // Columns are then at hand, and those that went have no room any more.
  void work_in() {
    const uint64_t n = there_.size();
    if (gone_.empty()) return;
    math::matrix_product(math::row_major(taken_.data(), gone_.size(), rows_).transposed(),
                         math::row_major(shares_.data(), gone_.size(), n), weights_.data(), n,
                         math::ProductInto::kSubtract, threads_);
    for (const uint32_t at : gone_) there_[at] = kNone;
    uint64_t to = 0;
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        if (there_[c] != kNone) weights_[to++] = weights_[r * n + c];
      }
    }
    std::erase(there_, kNone);
    for (uint32_t i = 0; i < there_.size(); ++i) place_[there_[i]] = i;
    gone_.clear();
    taken_.clear();
    shares_.clear();
    count_squares();
  }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  void count_squares() {
    const uint64_t n = there_.size();
    squares_.assign(n, 0);
    for (uint64_t r = 0; r < rows_; ++r) {
      for (uint64_t c = 0; c < n; ++c) squares_[c] += weights_[r * n + c] * weights_[r * n + c];
    }
  }

  uint64_t rows_;
  int threads_;
  std::vector<double> weights_;          // [row][column that is there], less what follows
  std::vector<uint32_t> there_, place_;  // which these are; where each is
  std::vector<double> squares_, products_;
  std::vector<uint32_t> gone_;          // since the last work_in(): places
  std::vector<double> taken_, shares_;  // [gone][row], [gone][column that is there]
};

// What it costs to remove all columns of a unit: the sum over rows of w_S (C_SS)⁻¹ w_Sᵀ.
double cost_of(const Eliminated& inverse, const Compensated& weights, uint64_t first,
               uint64_t group) {
  if (group == 1) return weights.squares(first) / inverse.rest(first);
  std::vector<double> block(group * group);
  for (uint64_t a = 0; a < group; ++a) {
    for (uint64_t b = 0; b < group; ++b) block[a * group + b] = inverse.at(first + a, first + b);
  }
  invert(block, group, 1);
  std::vector<std::vector<double>> columns;
  for (uint64_t a = 0; a < group; ++a) columns.push_back(weights.column(first + a));
  double cost = 0;
  for (uint64_t a = 0; a < group; ++a) {
    for (uint64_t b = 0; b < group; ++b) {
      const auto &x = columns[a], &y = columns[b];
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
  const std::span<const double> matrix = moments.matrix();
  Eliminated left({matrix.begin(), matrix.end()}, moments.columns(), moments.threads());
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
  const uint64_t group = moments.group();
  Eliminated left(moments.inverse(), moments.columns(), moments.threads());
  Compensated columns(weights, moments.threads());
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
      columns.take(p, left.take(p), root);
    }
    if (group > 1) {
      left.work_in();
      columns.work_in();
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
