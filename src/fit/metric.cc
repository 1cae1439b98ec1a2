#include "pith/fit/metric.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <utility>

#include "pith/base/error.h"
#include "pith/base/parallel.h"

namespace pith::fit {
namespace {

using form::MatrixView;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows whose error is found at a time.
constexpr uint64_t kStrip = 64;

double strip_error(const Metric& metric, const RowMajor& e) {
  const auto n = e.cols();
  if (metric.kind() == Metric::Kind::kSecondMoments) {
    const Eigen::Map<const RowMajor> h(metric.matrix().data(), n, n);
    return (e * h).cwiseProduct(e).sum();
  }
  double sum = 0;
  for (Eigen::Index c = 0; c < n; ++c) {
    sum += metric.importance(static_cast<uint64_t>(c)) * e.col(c).squaredNorm();
  }
  return sum;
}

}  // namespace

Metric Metric::diagonal(std::vector<double> importance) {
  for (size_t c = 0; c < importance.size(); ++c) {
    if (!(importance[c] >= 0) || std::isinf(importance[c]))
      fail(ErrorKind::kData, "importance: column {} has {}", c, importance[c]);
  }
  Metric m;
  m.kind_ = Kind::kDiagonal;
  m.columns_ = importance.size();
  m.values_ = std::make_shared<const std::vector<double>>(std::move(importance));
  return m;
}

Metric Metric::second_moments(uint64_t n, std::vector<double> matrix) {
  if (n == 0 || matrix.size() / n != n || matrix.size() % n != 0) {
    fail(ErrorKind::kUsage, "second moments: {} numbers are not {} x {}", matrix.size(), n, n);
  }
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = 0; c < n; ++c) {
      const double v = matrix[r * n + c];
      if (!std::isfinite(v)) fail(ErrorKind::kData, "second moments: {}, {} is {}", r, c, v);
      if (v != matrix[c * n + r])
        fail(ErrorKind::kData, "second moments: {}, {} is not {}, {}", r, c, c, r);
    }
    if (matrix[r * n + r] < 0)
      fail(ErrorKind::kData, "second moments: the square of channel {} is negative", r);
  }
  Metric m;
  m.kind_ = Kind::kSecondMoments;
  m.columns_ = n;
  m.values_ = std::make_shared<const std::vector<double>>(std::move(matrix));
  return m;
}

Metric Metric::of(SecondMoment moment) {
  const uint64_t n = moment.channels();
  return second_moments(n, std::move(moment).take());
}

double Metric::importance(uint64_t column) const {
  if (kind_ == Kind::kSquared) return 1;
  return (*values_)[kind_ == Kind::kDiagonal ? column : column * columns_ + column];
}

std::span<const double> Metric::matrix() const {
  if (kind_ != Kind::kSecondMoments) return {};
  return *values_;
}

void Metric::require(form::Shape shape) const {
  if (kind_ != Kind::kSquared && columns_ != shape.cols) {
    fail(ErrorKind::kUsage, "a metric of {} columns does not fit a matrix of {}", columns_,
         shape.cols);
  }
}

double error(const Metric& metric, MatrixView matrix, MatrixView decoded, int threads) {
  if (matrix.shape != decoded.shape) {
    fail(ErrorKind::kUsage, "an error between {} x {} and {} x {}", matrix.shape.rows,
         matrix.shape.cols, decoded.shape.rows, decoded.shape.cols);
  }
  metric.require(matrix.shape);
  const uint64_t rows = matrix.shape.rows, cols = matrix.shape.cols;
  std::vector<double> sums((rows + kStrip - 1) / kStrip);
  parallel_for(thread_count(threads), sums.size(), [&](size_t i) {
    const uint64_t first = i * kStrip, n = std::min(kStrip, rows - first);
    RowMajor e(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(cols));
    for (uint64_t at = 0; at < n * cols; ++at) {
      e.data()[at] =
          double{matrix.data[first * cols + at]} - double{decoded.data[first * cols + at]};
    }
    sums[i] = strip_error(metric, e);
  });
  double sum = 0;
  for (const double s : sums) sum += s;
  return sum;
}

}  // namespace pith::fit
