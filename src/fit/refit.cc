// Least squares over the elements that are kept, all rows at a time.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/masks.h"
#include "pith/math/matrix_product.h"
#include "whitening.h"

namespace pith::fit {
namespace {

// Rows that are solved together.
constexpr uint64_t kRows = 512;

// Conjugate gradients for each row of w - x, in the elements that are kept, with the matrix's
// diagonal as preconditioner.
class Rows {
 public:
  Rows(const DampedMoments& a, uint64_t rows, const uint8_t* keep, int threads)
      : a_(a),
        rows_(rows),
        keep_(keep),
        threads_(threads),
        left_(rows * a.n),
        residual_(rows * a.n),
        direction_(rows * a.n),
        product_(rows * a.n),
        steepness_(rows) {}

  void solve(const float* w, float* x, int rounds) {
    const uint64_t n = a_.n;
    for (uint64_t i = 0; i < rows_ * n; ++i) {
      left_[i] = double{w[i]} - (keep_[i] != 0 ? double{x[i]} : 0.0);
    }
    multiply(left_, residual_);
    each_row([&](uint64_t r) {
      steepness_[r] = precondition(r);
      for (uint64_t i = r * n; i < (r + 1) * n; ++i) direction_[i] = product_[i];
    });
    const std::vector<double> first = steepness_;
    std::vector<double> gains(rows_);
    double gained = 0;
    for (int round = 0; round < rounds; ++round) {
      multiply(direction_, product_);
      each_row([&](uint64_t r) { gains[r] = steepness_[r] > kEnough * first[r] ? step(r) : 0; });
      const double gain = std::accumulate(gains.begin(), gains.end(), 0.0);
      gained += gain;
      if (!(gain > kWorthwhile * gained)) break;
    }
    for (uint64_t i = 0; i < rows_ * n; ++i) {
      x[i] = keep_[i] != 0 ? static_cast<float>(w[i] - left_[i]) : 0.0f;
    }
  }

 private:
  static constexpr double kEnough = 1e-10;
  // Of all that was gained so far, a round has to bring this share.
  static constexpr double kWorthwhile = 1e-4;

  template <class Function>
  void each_row(const Function& function) {
    parallel_for(threads_, rows_, [&](size_t r) { function(r); });
  }

  void multiply(const std::vector<double>& v, std::vector<double>& to) {
    math::matrix_product(math::row_major(v.data(), rows_, a_.n),
                         math::row_major(a_.matrix.data(), a_.n, a_.n), to.data(), a_.n,
                         math::ProductInto::kReplace, threads_);
  }

  // product = the residual over the diagonal where elements are kept; their scalar product.
  double precondition(uint64_t r) {
    const uint64_t n = a_.n;
    double sum = 0;
    for (uint64_t c = 0; c < n; ++c) {
      const uint64_t i = r * n + c;
      const double d = a_.matrix[c * n + c];
      product_[i] = keep_[i] != 0 && d > 0 ? residual_[i] / d : 0;
      sum += product_[i] * residual_[i];
    }
    return sum;
  }

  // product: direction times the matrix. Returns by how much the error fell.
  double step(uint64_t r) {
    const uint64_t begin = r * a_.n, end = begin + a_.n;
    double curvature = 0;
    for (uint64_t i = begin; i < end; ++i) curvature += direction_[i] * product_[i];
    if (!(curvature > 0)) return 0;
    const double length = steepness_[r] / curvature;
    for (uint64_t i = begin; i < end; ++i) {
      left_[i] -= length * direction_[i];
      residual_[i] -= length * product_[i];
    }
    const double before = steepness_[r];
    steepness_[r] = precondition(r);
    const double turn = steepness_[r] / before;
    for (uint64_t i = begin; i < end; ++i) direction_[i] = product_[i] + turn * direction_[i];
    return length * before;
  }

  const DampedMoments& a_;
  uint64_t rows_;
  const uint8_t* keep_;
  int threads_;
  std::vector<double> left_, residual_, direction_, product_;
  std::vector<double> steepness_;  // of each row
};

}  // namespace

form::Matrix refitted(const Task& task, std::span<const uint8_t> keep, form::MatrixView start,
                      const RefitOptions& options) {
  const form::Shape shape = task.weights.shape;
  if (keep.size() != shape.size() || start.shape != shape) {
    fail(ErrorKind::kUsage, "{}: kept elements of another shape", task.name);
  }
  require_finite(task);
  task.inputs.require(shape);
  form::Matrix out(shape);
  for (uint64_t i = 0; i < shape.size(); ++i) out.values[i] = keep[i] != 0 ? start.data[i] : 0.0f;
  if (task.inputs.kind() != Metric::Kind::kSecondMoments) {
    // Elements do not depend on each other.
    for (uint64_t i = 0; i < shape.size(); ++i) {
      if (keep[i] != 0) out.values[i] = task.weights.data[i];
    }
    return out;
  }
  const DampedMoments moments = damped_moments(task.inputs, shape.cols, options.damping);
  for (uint64_t first = 0; first < shape.rows; first += kRows) {
    const uint64_t n = std::min(kRows, shape.rows - first), at = first * shape.cols;
    Rows(moments, n, keep.data() + at, thread_count(task.threads))
        .solve(task.weights.data + at, out.values.data() + at, options.rounds);
  }
  return out;
}

}  // namespace pith::fit
