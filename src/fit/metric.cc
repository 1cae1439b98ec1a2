#include "pith/fit/metric.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::MatrixView;

// Rows whose error is found at a time, and columns of second moments.
constexpr uint64_t kRows = 1024, kColumns = 512;

// Adds e_r H e_rᵀ for each row; both triangles of H are alike, so that one is enough. products:
// rows x kColumns.
void add_products(const Metric& metric, std::span<const double> e, uint64_t rows, int threads,
                  std::span<double> products, std::span<double> sums) {
  const uint64_t n = metric.columns();
  const auto h = math::row_major(metric.matrix().data(), n, n);
  for (uint64_t first = 0; first < n; first += kColumns) {
    const uint64_t width = std::min(kColumns, n - first);
    const auto multiply = [&](uint64_t begin, uint64_t end, double factor) {
      math::matrix_product({e.data() + begin, rows, end - begin, n, 1},
                           {h.data + begin * n + first, end - begin, width, n, 1}, products.data(),
                           width, math::ProductInto::kReplace, threads);
      parallel_for(threads, rows, [&](size_t r) {
        double sum = 0;
        for (uint64_t c = 0; c < width; ++c) {
          sum += e[r * n + first + c] * products[r * width + c];
        }
        sums[r] += factor * sum;
      });
    };
    if (first > 0) multiply(0, first, 2);
    multiply(first, first + width, 1);
  }
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

std::vector<double> row_errors(const Metric& metric, MatrixView matrix, MatrixView decoded,
                               int threads) {
  if (matrix.shape != decoded.shape) {
    fail(ErrorKind::kUsage, "an error between {} x {} and {} x {}", matrix.shape.rows,
         matrix.shape.cols, decoded.shape.rows, decoded.shape.cols);
  }
  metric.require(matrix.shape);
  const uint64_t rows = matrix.shape.rows, cols = matrix.shape.cols;
  threads = thread_count(threads);
  const bool dense = metric.kind() == Metric::Kind::kSecondMoments;
  const uint64_t strip = std::min(kRows, rows);
  std::vector<double> sums(rows), e(strip * cols), products(dense ? strip * kColumns : 0);
  for (uint64_t first = 0; first < rows; first += strip) {
    const uint64_t n = std::min(strip, rows - first);
    parallel_for(threads, n, [&](size_t r) {
      const float *a = matrix.data + (first + r) * cols, *b = decoded.data + (first + r) * cols;
      double sum = 0;
      for (uint64_t c = 0; c < cols; ++c) {
        const double d = double{a[c]} - double{b[c]};
        e[r * cols + c] = d;
        if (!dense) sum += metric.importance(c) * (d * d);
      }
      sums[first + r] = sum;
    });
    if (dense) {
      add_products(metric, std::span(e).first(n * cols), n, threads, products,
                   std::span(sums).subspan(first, n));
    }
  }
  return sums;
}

double error(const Metric& metric, MatrixView matrix, MatrixView decoded, int threads) {
  double sum = 0;
  for (const double e : row_errors(metric, matrix, decoded, threads)) sum += e;
  return sum;
}

}  // namespace pith::fit
