#include "pith/fit/low_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/arguments.h"
#include "pith/form/compose.h"
#include "pith/math/matrix_product.h"
#include "pith/math/svd.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::Shape;

constexpr int64_t kMostRank = 1 << 20;
// Outputs that mean nothing count as much as this share of the mean.
constexpr double kLeastImportance = 1e-6;

// Roots of the rows' importance over its mean; ones where nothing is known.
std::vector<float> row_roots(const Task& task) {
  std::vector<float> roots(task.weights.shape.rows, 1.0f);
  if (task.outputs.empty()) return roots;
  if (task.outputs.size() != roots.size()) {
    fail(ErrorKind::kUsage, "{}: importances of {} rows for a matrix of {}", task.name,
         task.outputs.size(), roots.size());
  }
  const double mean = std::accumulate(task.outputs.begin(), task.outputs.end(), 0.0) /
                      static_cast<double>(std::max<size_t>(roots.size(), 1));
  if (!(mean > 0)) return roots;
  for (size_t r = 0; r < roots.size(); ++r) {
    roots[r] = static_cast<float>(std::sqrt(std::max(task.outputs[r] / mean, kLeastImportance)));
  }
  return roots;
}

Matrix scaled_rows(MatrixView m, const std::vector<float>& scales) {
  Matrix out(m.shape);
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) out.row(r)[c] = scales[r] * m.row(r)[c];
  }
  return out;
}

// In units of 2^n so that its squares and products are within the range of floats.
float unit_of(MatrixView m) {
  float most = 0;
  for (uint64_t i = 0; i < m.shape.size(); ++i) most = std::max(most, std::fabs(m.data[i]));
  return most > 0 ? std::ldexp(1.0f, std::clamp(std::ilogb(most), -120, 120)) : 1.0f;
}

// m l, where the metric is one with a root; m else.
Matrix whitened(const Matrix& m, const Metric& metric, double damping, int threads) {
  const uint64_t n = m.shape.cols;
  Matrix out(m.shape);
  if (metric.kind() == Metric::Kind::kSquared) return m;
  DampedMoments moments = damped_moments(metric, n, damping);
  if (metric.kind() == Metric::Kind::kDiagonal) {
    for (uint64_t r = 0; r < m.shape.rows; ++r) {
      for (uint64_t c = 0; c < n; ++c) {
        const auto root = static_cast<float>(std::sqrt(moments.matrix[c * n + c]));
        out.row(r)[c] = root * m.view().row(r)[c];
      }
    }
    return out;
  }
  factor(moments.matrix, n, threads);
  std::vector<float> lower(n * n);
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c <= r; ++c)
      lower[r * n + c] = static_cast<float>(moments.matrix[r * n + c]);
  }
  math::matrix_product(math::row_major(m.values.data(), m.shape.rows, n),
                       math::row_major(lower.data(), n, n), out.values.data(), n,
                       math::ProductInto::kReplace, threads);
  return out;
}

// What of the task counts. Lives as long as the task and itself.
class Weighed {
 public:
  Weighed(const Task& task, Weighing by) : task_{task.name, task.weights, chosen(task, by)} {
    task_.threads = task.threads;
    if (by == Weighing::kMetric || by == Weighing::kOutputs) task_.outputs = task.outputs;
  }
  Weighed(const Weighed&) = delete;
  Weighed& operator=(const Weighed&) = delete;

  const Task& task() const { return task_; }

 private:
  const Metric& chosen(const Task& task, Weighing by) {
    if (by == Weighing::kMetric || by == Weighing::kMoments) return task.inputs;
    if (by == Weighing::kInputs) {
      std::vector<double> importance;
      for (uint64_t c = 0; c < task.weights.shape.cols; ++c) {
        importance.push_back(task.inputs.importance(c));
      }
      own_ = Metric::diagonal(std::move(importance));
    }
    return own_;
  }

  Metric own_;
  Task task_;
};

double mean_importance(const Metric& metric, uint64_t columns) {
  double sum = 0;
  for (uint64_t c = 0; c < columns; ++c) sum += metric.importance(c);
  return columns > 0 ? sum / static_cast<double>(columns) : 0;
}

struct LowRankCall {
  uint64_t rank;
  form::Expression factors;

  explicit LowRankCall(const form::Expression& e) : rank(0), factors(form::parse("dense(f16)")) {
    if (!e.is_call() || e.name() != "lowrank") {
      throw e.place().error(ErrorKind::kUsage,
                            fmt::format("`{}` is no low rank", form::to_string(e)));
    }
    const form::Arguments args(e, {"rank", "factors"});
    rank = static_cast<uint64_t>(args.integer("rank", 0, kMostRank));
    factors = args.expression("factors", factors);
  }
};

Fitted fit_low_rank(const Truncation& truncation, uint64_t rank, const form::Expression& factors,
                    const Task& task, const TruncationOptions& options) {
  const uint64_t r = std::min(rank, truncation.rank());
  const Matrix left = truncation.left(r), right = truncation.right(r);
  Fitted fitted = measured(task, form::lowrank_of(form::encode(factors, left.view()),
                                                  form::encode(factors, right.view())));
  // Without a metric this is it already, and with one it is seldom worse.
  const bool nothing = task.inputs.kind() == Metric::Kind::kSquared && task.outputs.empty();
  if (nothing || options.by != Weighing::kMetric) return fitted;
  const auto plain =
      form::parse(fmt::format("lowrank({}, factors={})", rank, form::to_string(factors)));
  return better(std::move(fitted), measured(task, form::encode(plain, task.weights)));
}

// What an error of each of its inputs does to outputs of this importance: diag(Lᵀ G L).
std::vector<double> importance_of_columns(const Matrix& left, std::span<const double> outputs) {
  std::vector<double> sums(left.shape.cols);
  for (uint64_t r = 0; r < left.shape.rows; ++r) {
    const double weight = outputs.empty() ? 1 : outputs[r];
    for (uint64_t k = 0; k < sums.size(); ++k) {
      const double v = left.view().row(r)[k];
      sums[k] += weight * v * v;
    }
  }
  return sums;
}

// Of the outputs m x: m A mᵀ.
Metric moments_behind(const Matrix& m, const Metric& inputs, int threads) {
  const uint64_t rows = m.shape.rows, n = m.shape.cols;
  std::vector<double> wide(m.values.begin(), m.values.end()), through(rows * n), out(rows * rows);
  if (inputs.kind() == Metric::Kind::kSecondMoments) {
    math::matrix_product(math::row_major(wide.data(), rows, n),
                         math::row_major(inputs.matrix().data(), n, n), through.data(), n,
                         math::ProductInto::kReplace, thread_count(threads));
  } else {
    for (uint64_t i = 0; i < through.size(); ++i) through[i] = wide[i] * inputs.importance(i % n);
  }
  math::matrix_product(math::row_major(through.data(), rows, n),
                       math::row_major(wide.data(), rows, n).transposed(), out.data(), rows,
                       math::ProductInto::kReplace, thread_count(threads));
  // Rounding leaves both halves a little apart, and may leave zeros below zero.
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < r; ++c) out[r * rows + c] = out[c * rows + r];
    out[r * rows + r] = std::max(out[r * rows + r], 0.0);
  }
  return Metric::second_moments(rows, std::move(out));
}

// The truncation of the matrix that was asked for last.
class LastTruncation {
 public:
  std::shared_ptr<const Truncation> of(const Task& task, uint64_t rank,
                                       const TruncationOptions& options) {
    const std::lock_guard lock(mutex_);
    // Second moments that are kept are at a place of their own.
    const bool same = last_ && task.inputs.kind() == Metric::Kind::kSecondMoments &&
                      name_ == task.name && metric_.matrix().data() == task.inputs.matrix().data();
    if (!same) {
      last_ = std::make_shared<Truncation>(task, rank, options);
      name_ = task.name;
      metric_ = task.inputs;
    }
    return last_;
  }

 private:
  std::mutex mutex_;
  std::string name_;
  Metric metric_;
  std::shared_ptr<const Truncation> last_;
};

}  // namespace

Truncation::Truncation(const Task& all, uint64_t rank, const TruncationOptions& options)
    : shape_(all.weights.shape) {
  const Weighed weighed(all, options.by);
  const Task& task = weighed.task();
  task.inputs.require(shape_);
  require_finite(task);
  const uint64_t rows = shape_.rows, cols = shape_.cols;
  rank = std::min({rank, rows, cols});
  const int threads = thread_count(task.threads);
  const std::vector<float> roots = row_roots(task);
  const float unit = unit_of(task.weights);
  std::vector<float> units(rows);
  for (uint64_t r = 0; r < rows; ++r) units[r] = roots[r] / unit;
  const Matrix scaled = scaled_rows(task.weights, units);
  const Matrix white = whitened(scaled, task.inputs, options.damping, threads);
  for (const float v : white.values) total_ += double{v} * v;
  const math::Svd svd = math::truncated_svd(white.values.data(), rows, cols, rank);
  left_.resize(rows * rank);
  right_.resize(rank * cols);
  math::matrix_product(math::row_major(svd.u.data(), rows, rank).transposed(),
                       math::row_major(scaled.values.data(), rows, cols), right_.data(), cols,
                       math::ProductInto::kReplace, threads);
  for (uint64_t k = 0; k < rank; ++k) {
    singular_.push_back(double{svd.s[k]} * svd.s[k]);
    double a = 0, b = 0;
    for (uint64_t r = 0; r < rows; ++r) {
      left_[r * rank + k] = svd.u[r * rank + k] / roots[r];
      a += double{left_[r * rank + k]} * left_[r * rank + k];
    }
    for (uint64_t c = 0; c < cols; ++c) b += double{right_[k * cols + c]} * right_[k * cols + c];
    // Both factors of the same size, so that neither leaves the range of small floats.
    const double balance = a > 0 && b > 0 ? std::pow(b / a, 0.25) : 1, root = std::sqrt(unit);
    for (uint64_t r = 0; r < rows; ++r) {
      left_[r * rank + k] = static_cast<float>(left_[r * rank + k] * balance * root);
    }
    for (uint64_t c = 0; c < cols; ++c) {
      right_[k * cols + c] = static_cast<float>(right_[k * cols + c] / balance * root);
    }
  }
  // Back in the units of the metric.
  double scale = double{unit} * unit;
  if (task.inputs.kind() != Metric::Kind::kSquared) {
    const double mean = mean_importance(task.inputs, cols);
    if (mean > 0) scale *= mean;
  }
  if (!task.outputs.empty()) {
    const double mean = std::accumulate(task.outputs.begin(), task.outputs.end(), 0.0) /
                        static_cast<double>(std::max<uint64_t>(rows, 1));
    if (mean > 0) scale *= mean;
  }
  total_ *= scale;
  for (double& s : singular_) s *= scale;
}

double Truncation::error(uint64_t r) const {
  double left = total_;
  for (uint64_t k = 0; k < r; ++k) left -= singular_[k];
  return std::max(left, 0.0);
}

Matrix Truncation::left(uint64_t r) const {
  Matrix out({shape_.rows, r});
  for (uint64_t i = 0; i < shape_.rows; ++i) {
    std::copy_n(left_.begin() + static_cast<int64_t>(i * rank()), r, out.row(i).begin());
  }
  return out;
}

Matrix Truncation::right(uint64_t r) const {
  Matrix out({r, shape_.cols});
  std::copy_n(right_.begin(), out.values.size(), out.values.begin());
  return out;
}

uint64_t rank_of_share(Shape shape, double share) {
  if (!(share >= 0)) fail(ErrorKind::kUsage, "a share must be at least 0, got {}", share);
  if (shape.size() == 0) return 0;
  const auto most = static_cast<double>(std::min(shape.rows, shape.cols));
  const double elements = static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
  const double rank = share * elements / static_cast<double>(shape.rows + shape.cols);
  return static_cast<uint64_t>(std::min(std::floor(rank), most));
}

Fitter low_rank_fitter(const form::Expression& expression, const TruncationOptions& options) {
  const LowRankCall call(expression);
  return [call, options](const Task& task) {
    return fit_low_rank(Truncation(task, call.rank, options), call.rank, call.factors, task,
                        options);
  };
}

Fitter low_rank_of_share(double share, const form::Expression& factors,
                         const TruncationOptions& options) {
  rank_of_share({}, share);
  return [=](const Task& task) {
    const uint64_t rank = rank_of_share(task.weights.shape, share);
    return fit_low_rank(Truncation(task, rank, options), rank, factors, task, options);
  };
}

Fitter low_rank_of_share(double share, const Fitter& factor, const TruncationOptions& options) {
  rank_of_share({}, share);
  return [=](const Task& task) {
    require_finite(task);
    const uint64_t r = rank_of_share(task.weights.shape, share);
    const Truncation truncation(task, r, options);
    const Matrix left = truncation.left(r), right = truncation.right(r);
    const std::vector<double> importance = importance_of_columns(left, task.outputs);
    Task of_right = task;
    of_right.weights = right.view();
    of_right.outputs = importance;
    const form::FormPtr second = factor(of_right).form;
    const Metric given = moments_behind(form::decode(*second), task.inputs, task.threads);
    const form::FormPtr first =
        factor({task.name, left.view(), given, task.outputs, task.threads}).form;
    return measured(task, form::lowrank_of(first, second));
  };
}

std::vector<Fitter> nested_low_ranks(std::vector<RankOf> ranks, const form::Expression& factors,
                                     const TruncationOptions& options) {
  const auto all = std::make_shared<const std::vector<RankOf>>(std::move(ranks));
  const auto last = std::make_shared<LastTruncation>();
  std::vector<Fitter> out;
  for (size_t i = 0; i < all->size(); ++i) {
    out.emplace_back([=](const Task& task) {
      uint64_t most = 0;
      for (const RankOf& rank : *all) most = std::max(most, rank(task.weights.shape));
      const auto truncation = last->of(task, most, options);
      return fit_low_rank(*truncation, (*all)[i](task.weights.shape), factors, task, options);
    });
  }
  return out;
}

Fitter compensated(Fitter fitter, const form::Expression& low_rank,
                   const TruncationOptions& options) {
  return [fitter = std::move(fitter), fit = low_rank_fitter(low_rank, options)](const Task& task) {
    const Fitted base = fitter(task);
    Matrix rest = form::decode(*base.form);
    for (size_t i = 0; i < rest.values.size(); ++i) {
      rest.values[i] = task.weights.data[i] - rest.values[i];
    }
    Task left = task;
    left.weights = rest.view();
    const Fitted correction = fit(left);
    return measured(task, form::sum_of({base.form, correction.form}));
  };
}

}  // namespace pith::fit
