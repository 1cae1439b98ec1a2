#include "pith/fit/rotation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "numbers.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/compose.h"
#include "pith/form/form.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::Shape;
using math::row_major;
using Side = RotatedMatrix::Side;

// Rows that are rounded at a time.
constexpr uint64_t kRoundedRows = 64;
constexpr double kMomentum = 0.9;
// Steps are no larger, so that what they are made of converges.
constexpr double kLargestStep = 1;
constexpr double kOrthogonal = 1e-3;

math::StridedDoubles square(const Numbers& m, uint64_t n) { return row_major(m.data(), n, n); }

using fit::product;

Matrix product(const math::StridedMatrix& a, const math::StridedMatrix& b, int threads) {
  Matrix out({a.rows, b.cols});
  math::matrix_product(a, b, out.values.data(), b.cols, math::ProductInto::kReplace, threads);
  return out;
}

math::StridedMatrix strided(MatrixView m) { return row_major(m.data, m.shape.rows, m.shape.cols); }

double norm(const Numbers& m) {
  double sum = 0;
  for (const double v : m) sum += v * v;
  return std::sqrt(sum);
}

// The largest sum of a row's sizes, which no singular value exceeds.
double largest_row(const Numbers& m, uint64_t n) {
  double most = 0;
  for (uint64_t r = 0; r < n; ++r) {
    double sum = 0;
    for (uint64_t c = 0; c < n; ++c) sum += std::abs(m[r * n + c]);
    most = std::max(most, sum);
  }
  return most;
}

// R (3 - Rᵀ R) / 2, which is nearer to orthogonal than R.
Numbers nearer_to_orthogonal(const Numbers& r, uint64_t n, int threads) {
  Numbers gram = product(square(r, n).transposed(), square(r, n), threads);
  for (double& v : gram) v *= -0.5;
  for (uint64_t i = 0; i < n; ++i) gram[i * n + i] += 1.5;
  return product(square(r, n), square(gram, n), threads);
}

// R (1 - S/2)⁻¹ (1 + S/2) for a skew S: the fixed point of Y = R + (R + Y) S / 2 (Li et al. 2020).
Numbers turned(const Numbers& r, const Numbers& skew, uint64_t n, int threads) {
  constexpr int kRounds = 6;
  Numbers y = r, sum(n * n);
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < y.size(); ++i) sum[i] = 0.5 * (r[i] + y[i]);
    y = product(square(sum, n), square(skew, n), threads);
    for (size_t i = 0; i < y.size(); ++i) y[i] += r[i];
  }
  for (int round = 0; round < 2; ++round) y = nearer_to_orthogonal(y, n, threads);
  return y;
}

// What one matrix says of a rotation.
struct Share {
  double error = 0;
  Numbers
      squares;  // along the rotated side: the sum of squared errors times what they matter across
  Matrix rotated, gradient;  // of the error by each element of the rotated matrix
};

// Scales follow the largest elements: as the norm of this power does, which is smoother.
constexpr int kPower = 8;

// Adds to the gradient of a group `size` times that of the logarithm of its scale.
void add_scale_gradient(const float* x, uint64_t n, double size, float* gradient) {
  float largest = 0;
  for (uint64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  if (!(largest > 0)) return;
  const auto seventh = [](double t) { return t * t * t * t * t * t * t; };
  static_assert(kPower == 8);
  double sum = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const double t = x[i] / largest;
    sum += seventh(t) * t;
  }
  const double factor = size / (sum * largest);
  for (uint64_t i = 0; i < n; ++i) {
    gradient[i] = static_cast<float>(factor * seventh(x[i] / largest));
  }
}

class Problem {
 public:
  Problem(uint64_t n, std::span<const RotatedMatrix> matrices, const Rounding& rounding,
          int threads)
      : n_(n), matrices_(matrices), rounding_(rounding), threads_(thread_count(threads)) {
    for (const RotatedMatrix& m : matrices) require(m);
  }

  // With the gradient of turning R by R S, S skew; null: without.
  double error(const Numbers& rotation, Numbers* gradient) {
    const Matrix r = matrix(rotation, {n_, n_});
    if (gradient) gradient->assign(n_ * n_, 0);
    const double* seen = nullptr;
    double sum = 0;
    for (const RotatedMatrix& m : matrices_) {
      const bool moments = m.along.kind() != Metric::Kind::kSquared;
      // Matrices that read the same inputs share their moments.
      const bool shared = m.along.kind() == Metric::Kind::kSecondMoments;
      const double* values = shared ? m.along.matrix().data() : nullptr;
      if (moments && (!shared || values != seen)) along_ = turned_moments(m.along, rotation);
      if (moments) seen = values;
      const Share share = share_of(m, r.view(), moments, gradient != nullptr);
      sum += share.error;
      if (gradient) add_gradient(m, share, moments, *gradient);
    }
    return sum;
  }

 private:
  void require(const RotatedMatrix& m) const {
    const bool columns = m.side == Side::kColumns;
    const auto [rows, cols] = m.weights.shape;
    const uint64_t turned = columns ? cols : rows, other = columns ? rows : cols;
    if (turned != n_) {
      fail(ErrorKind::kUsage, "rotation: a matrix of {} x {} has not the {} coordinates of it",
           rows, cols, n_);
    }
    if (!m.across.empty() && m.across.size() != other) {
      fail(ErrorKind::kUsage, "rotation: {} importances for {} rows or columns", m.across.size(),
           other);
    }
    m.along.require({1, n_});
  }

  // Rᵀ A R.
  Numbers turned_moments(const Metric& metric, const Numbers& rotation) const {
    const auto r = square(rotation, n_);
    Numbers ar(n_ * n_);
    if (metric.kind() == Metric::Kind::kSecondMoments) {
      const auto a = row_major(metric.matrix().data(), n_, n_);
      math::matrix_product(a, r, ar.data(), n_, math::ProductInto::kReplace, threads_);
    } else {
      for (uint64_t i = 0; i < n_; ++i) {
        for (uint64_t c = 0; c < n_; ++c) {
          ar[i * n_ + c] = metric.importance(i) * rotation[i * n_ + c];
        }
      }
    }
    return product(r.transposed(), square(ar, n_), threads_);
  }

  Share share_of(const RotatedMatrix& m, MatrixView r, bool moments, bool gradient) const {
    const bool columns = m.side == Side::kColumns;
    Share share;
    share.rotated = columns ? product(strided(m.weights), strided(r), threads_)
                            : product(strided(r).transposed(), strided(m.weights), threads_);
    const Shape shape = share.rotated.shape;
    const auto weights = [&](bool is_along, uint64_t size) {
      Numbers w(size, 1.0);
      if (is_along && moments) {
        for (uint64_t i = 0; i < n_; ++i) w[i] = std::max(along_[i * n_ + i], 0.0);
      } else if (!is_along && !m.across.empty()) {
        w = m.across;
      }
      return w;
    };
    const Numbers by_row = weights(!columns, shape.rows), by_col = weights(columns, shape.cols);
    const uint64_t parts = (shape.rows + kRoundedRows - 1) / kRoundedRows;
    if (gradient) share.gradient = Matrix(shape);
    Numbers errors(parts), column_squares(columns ? parts * n_ : 0);
    share.squares.assign(n_, 0);
    parallel_for(threads_, parts, [&](size_t part) {
      const uint64_t first = part * kRoundedRows, last = std::min(first + kRoundedRows, shape.rows);
      const MatrixView rows{share.rotated.row(first).data(), {last - first, shape.cols}};
      const Matrix rounded = rounding_.round(rows);
      for (uint64_t i = first; i < last; ++i) {
        const float* x = share.rotated.row(i).data();
        const float* y = rounded.view().row(i - first).data();
        const uint64_t group = std::max<uint64_t>(1, std::min(rounding_.group, shape.cols));
        double across = 0;  // of this row, were it along
        for (uint64_t at = 0; at < shape.cols; at += group) {
          const uint64_t end = std::min(at + group, shape.cols);
          double lost = 0;
          for (uint64_t c = at; c < end; ++c) {
            const double e = double{y[c]} - x[c], square = e * e;
            lost += by_col[c] * square;
            if (columns) column_squares[part * n_ + c] += by_row[i] * square;
          }
          across += lost;
          if (gradient) {
            add_scale_gradient(x + at, end - at, 2 * by_row[i] * lost,
                               share.gradient.row(i).data() + at);
          }
        }
        errors[part] += by_row[i] * across;
        if (!columns) share.squares[i] = across;
      }
    });
    for (uint64_t part = 0; part < parts; ++part) {
      share.error += errors[part];
      if (!columns) continue;
      for (uint64_t c = 0; c < n_; ++c) share.squares[c] += column_squares[part * n_ + c];
    }
    return share;
  }

  void add_gradient(const RotatedMatrix& m, const Share& share, bool moments, Numbers& to) const {
    const auto x = strided(share.rotated.view()), g = strided(share.gradient.view());
    // By S: of <G, X S> that is Xᵀ G, of <G, -S X> it is -G Xᵀ; a skew one has half of each side.
    const bool columns = m.side == Side::kColumns;
    const Matrix by =
        columns ? product(x.transposed(), g, threads_) : product(x, g.transposed(), threads_);
    for (uint64_t i = 0; i < n_; ++i) {
      for (uint64_t j = 0; j < n_; ++j) {
        double d = (double{by.values[i * n_ + j]} - by.values[j * n_ + i]) / 2;
        // Errors stay where they are while the moments turn below them.
        if (moments) d += along_[i * n_ + j] * (share.squares[j] - share.squares[i]);
        to[i * n_ + j] += d;
      }
    }
  }

  uint64_t n_;
  std::span<const RotatedMatrix> matrices_;
  const Rounding& rounding_;
  int threads_;
  Numbers along_;  // of the matrix at hand
};

}  // namespace

Matrix identity_rotation(uint64_t n) {
  Matrix out({n, n});
  for (uint64_t i = 0; i < n; ++i) out.row(i)[i] = 1;
  return out;
}

Matrix hadamard_rotation(uint64_t n, uint64_t seed) {
  const Matrix identity = identity_rotation(n);
  const auto basis = form::Expression::call("hadamard", {{"seed", form::Value(seed)}});
  return form::BasisFit(basis, identity.view()).forward(identity.view());
}

double orthogonality_error(MatrixView rotation) {
  const auto [rows, cols] = rotation.shape;
  if (rows != cols) return std::numeric_limits<double>::infinity();
  const Numbers r = numbers(rotation);
  const Numbers gram = product(square(r, rows).transposed(), square(r, rows), 1);
  double most = 0;
  for (uint64_t i = 0; i < gram.size(); ++i) {
    const double off = std::abs(gram[i] - (i / rows == i % rows ? 1 : 0));
    if (!std::isfinite(off)) return std::numeric_limits<double>::infinity();
    most = std::max(most, off);
  }
  return most;
}

Rounding rounding_to(const form::Expression& expression) {
  Rounding out{
      [expression](MatrixView rows) { return form::decode(*form::encode(expression, rows)); }};
  const form::Expression* leaf = &expression;
  while (!leaf->is_call() && !leaf->operands().empty()) {
    leaf = &leaf->operands()[leaf->kind() == form::Expression::Kind::kBasis ? 1 : 0];
  }
  if (!leaf->is_call()) return out;
  if (const form::Value* group = leaf->argument("group")) {
    const int64_t* size = group->get_if<int64_t>();
    out.group = size && *size > 0 ? static_cast<uint64_t>(*size) : UINT64_MAX;  // a whole row
  }
  return out;
}

double rotated_error(MatrixView rotation, std::span<const RotatedMatrix> matrices,
                     const Rounding& rounding, int threads) {
  if (rotation.shape.rows != rotation.shape.cols) {
    fail(ErrorKind::kUsage, "rotation: {} x {} is not square", rotation.shape.rows,
         rotation.shape.cols);
  }
  return Problem(rotation.shape.rows, matrices, rounding, threads)
      .error(numbers(rotation), nullptr);
}

LearnedRotation learn_rotation(MatrixView start, std::span<const RotatedMatrix> matrices,
                               const Rounding& rounding, const RotationOptions& options) {
  const double off = orthogonality_error(start);
  if (!(off < kOrthogonal)) {
    fail(ErrorKind::kUsage, "rotation: the start of {} x {} is not orthogonal", start.shape.rows,
         start.shape.cols);
  }
  const uint64_t n = start.shape.rows;
  const int threads = thread_count(options.threads);
  Problem problem(n, matrices, rounding, threads);
  Numbers at = nearer_to_orthogonal(numbers(start), n, threads), gradient, step(n * n);
  Numbers best = at;
  LearnedRotation out;
  for (int s = 0; s <= options.steps; ++s) {
    const bool last = s == options.steps;
    const double error = problem.error(at, last ? nullptr : &gradient);
    if (!std::isfinite(error)) fail(ErrorKind::kData, "rotation: weights that are not finite");
    if (s == 0) out.start = out.error = error;
    if (error < out.error) {
      out.error = error;
      best = at;
    }
    report(options.progress, static_cast<uint64_t>(s), static_cast<uint64_t>(options.steps));
    const double size = last ? 0 : norm(gradient);
    if (!(size > 0)) break;
    for (size_t i = 0; i < step.size(); ++i) {
      step[i] = kMomentum * step[i] - (1 - kMomentum) * gradient[i] / size;
    }
    // Shorter to the end, so that it settles.
    const double rest = 1 - static_cast<double>(s) / options.steps;
    const double angle = options.angle * rest * std::sqrt(static_cast<double>(n));
    Numbers skew = step;
    const double scale = std::min(angle, kLargestStep / largest_row(step, n));
    for (double& v : skew) v *= scale;
    at = turned(at, skew, n, threads);
  }
  out.rotation = matrix(best, {n, n});
  return out;
}

}  // namespace pith::fit
