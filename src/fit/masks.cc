#include "pith/fit/masks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/cholesky.h"
#include "whitening.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::Shape;
using form::SparseOptions;

constexpr double kRemovalDamping = 0.01;

// Each column over its norm, then each row over its own.
Matrix normalized(form::MatrixView w) {
  const auto inverse = [](double squares) { return squares > 0 ? 1 / std::sqrt(squares) : 0.0; };
  std::vector<double> columns(w.shape.cols);
  for (uint64_t r = 0; r < w.shape.rows; ++r) {
    for (uint64_t c = 0; c < w.shape.cols; ++c) columns[c] += double{w.row(r)[c]} * w.row(r)[c];
  }
  std::ranges::transform(columns, columns.begin(), inverse);
  Matrix out(w.shape);
  for (uint64_t r = 0; r < w.shape.rows; ++r) {
    double squares = 0;
    for (uint64_t c = 0; c < w.shape.cols; ++c) {
      const double v = w.row(r)[c] * columns[c];
      squares += v * v;
    }
    for (uint64_t c = 0; c < w.shape.cols; ++c) {
      out.row(r)[c] = static_cast<float>(w.row(r)[c] * columns[c] * inverse(squares));
    }
  }
  return out;
}

// Of each column what an element is worth squared, in any unit.
std::vector<double> column_worth(Score score, const Task& task) {
  const uint64_t n = task.weights.shape.cols;
  std::vector<double> worth(n, 1);
  if (score == Score::kMagnitude) return worth;
  if (score == Score::kRemoval && task.inputs.kind() == Metric::Kind::kSecondMoments) {
    DampedMoments moments = damped_moments(task.inputs, n, kRemovalDamping);
    const int threads = thread_count(task.threads);
    factor(moments.matrix, n, threads);
    std::vector<double> inverse(n * n);
    math::inverse_of_factored(moments.matrix.data(), n, inverse.data(), threads);
    for (uint64_t c = 0; c < n; ++c) worth[c] = 1 / inverse[c * n + c];
    return worth;
  }
  for (uint64_t c = 0; c < n; ++c) worth[c] = task.inputs.importance(c);
  return worth;
}

// Marks the n largest of a run of scores.
class Largest {
 public:
  void operator()(std::span<const float> scores, uint64_t n, uint8_t* keep) {
    order_.resize(scores.size());
    std::iota(order_.begin(), order_.end(), uint64_t{0});
    const auto at = order_.begin() + static_cast<int64_t>(n);
    if (n < order_.size()) {
      std::nth_element(order_.begin(), at, order_.end(), [&](uint64_t a, uint64_t b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
      });
    }
    for (auto i = order_.begin(); i != at; ++i) keep[*i] = 1;
  }

 private:
  std::vector<uint64_t> order_;
};

std::vector<uint8_t> kept_blocks(const SparseOptions& options, Shape shape,
                                 std::span<const float> scores, Among among) {
  const uint64_t width = options.block;
  if (shape.cols % width != 0) {
    fail(ErrorKind::kUsage, "sparse: blocks of {} do not divide rows of {}", width, shape.cols);
  }
  std::vector<float> sums(shape.size() / width);
  for (uint64_t b = 0; b < sums.size(); ++b) {
    double sum = 0;
    for (const float s : scores.subspan(b * width, width)) sum += s;
    sums[b] = static_cast<float>(sum);
  }
  std::vector<uint8_t> chosen(sums.size()), keep(shape.size());
  const uint64_t run = among == Among::kAll ? sums.size() : shape.cols / width;
  Largest largest;
  for (uint64_t at = 0; at < sums.size(); at += run) {
    largest(std::span(sums).subspan(at, run), form::count_of(options.share, run),
            chosen.data() + at);
  }
  for (uint64_t i = 0; i < keep.size(); ++i) keep[i] = chosen[i / width];
  return keep;
}

}  // namespace

std::vector<float> scores(Score score, const Task& task) {
  require_finite(task);
  task.inputs.require(task.weights.shape);
  const Shape shape = task.weights.shape;
  const Matrix units = score == Score::kNormalized ? normalized(task.weights) : Matrix();
  const form::MatrixView w = score == Score::kNormalized ? units.view() : task.weights;
  std::vector<double> importance = column_worth(score, task);
  double most = 0;
  for (const double h : importance) most = std::max(most, h);
  // Of channels that were never seen the largest go last.
  for (double& h : importance) h = most > 0 ? std::max(h / most, 1e-9) : 1;
  float largest = 0;
  for (uint64_t i = 0; i < shape.size(); ++i) largest = std::max(largest, std::fabs(w.data[i]));
  std::vector<float> out(shape.size());
  for (uint64_t i = 0; i < out.size(); ++i) {
    const double v = largest > 0 ? w.data[i] / double{largest} : 0;
    out[i] = static_cast<float>(v * v * importance[i % shape.cols]);
  }
  return out;
}

std::vector<uint8_t> kept(const SparseOptions& options, Shape shape, std::span<const float> scores,
                          Among among) {
  if (!options.is_ratio() && !options.is_free() && !is_row_blocks(options)) {
    fail(ErrorKind::kUsage,
         "sparse: elements are chosen one by one, n of m, or in blocks of a row");
  }
  if (scores.size() != shape.size()) {
    fail(ErrorKind::kUsage, "{} scores for a matrix of {} x {}", scores.size(), shape.rows,
         shape.cols);
  }
  if (is_row_blocks(options)) return kept_blocks(options, shape, scores, among);
  std::vector<uint8_t> keep(shape.size());
  Largest largest;
  if (options.is_free() && among == Among::kAll) {
    largest(scores, form::count_of(options.share, shape.size()), keep.data());
    return keep;
  }
  for (uint64_t r = 0; r < shape.rows; ++r) {
    const auto row = scores.subspan(r * shape.cols, shape.cols);
    uint8_t* to = keep.data() + r * shape.cols;
    if (options.is_free()) {
      largest(row, form::count_of(options.share, shape.cols), to);
      continue;
    }
    for (uint64_t at = 0, n; at < shape.cols; at += n) {
      n = std::min(options.m, shape.cols - at);
      largest(row.subspan(at, n), std::min(options.n, n), to + at);
    }
  }
  return keep;
}

Fitter mask_fitter(const form::Expression& expression, Score score, Among among, bool refit) {
  const SparseOptions options = form::sparse_options(expression);
  return [=](const Task& task) {
    const auto keep = kept(options, task.weights.shape, scores(score, task), among);
    const form::SparseFit fit(expression, task.weights.shape, keep);
    if (!refit) return measured(task, fit.form(task.weights));
    return better(measured(task, fit.form(refitted(task, keep, task.weights).view())),
                  measured(task, fit.form(task.weights)));
  };
}

}  // namespace pith::fit
