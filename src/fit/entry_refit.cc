#include "entry_refit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pith::fit {
namespace {

constexpr int kRounds = 8;
constexpr double kEnough = 1e-6;
// Elements that an entry is fitted to.
constexpr uint64_t kElements = 256;

// The elements that entries make in some rows, and back.
class Operator {
 public:
  Operator(const Curvature& h, const form::VectorFit& fit, std::span<const double> importance,
           uint64_t every, int threads)
      : h_(h), fit_(fit), importance_(importance), threads_(threads), padded_(fit.dim()) {
    for (uint64_t r = 0; r < fit.shape().rows; r += every) rows_.push_back(r);
    product_.resize(rows_.size() * h.n);
  }

  uint64_t elements() const { return rows_.size() * h_.n; }
  uint64_t row(uint64_t i) const { return rows_[i]; }

  void elements_of(std::span<const double> entries, std::vector<float>& to) {
    for_each_run([&](uint64_t i, uint64_t c, uint64_t n) {
      fit_.values_with(entries, rows_[i], c, padded_.data());
      std::copy_n(padded_.data(), n, to.data() + i * h_.n + c);
    });
  }

  // sums: the gradient of half the error with respect to entries, for these errors.
  void slopes(const std::vector<float>& errors, std::vector<double>& sums) {
    h_.multiply(errors.data(), rows_.size(), product_.data(), threads_);
    gather(product_, sums);
  }

  void gather(const std::vector<float>& elements, std::vector<double>& sums) {
    std::ranges::fill(sums, 0.0);
    for_each_run([&](uint64_t i, uint64_t c, uint64_t n) {
      const double own = importance_.empty() ? 1 : importance_[rows_[i]];
      for (uint64_t k = 0; k < padded_.size(); ++k) {
        padded_[k] = k < n ? static_cast<float>(own * elements[i * h_.n + c + k]) : 0.0f;
      }
      fit_.add_products(rows_[i], c, padded_.data(), sums.data());
    });
  }

 private:
  template <class Function>
  void for_each_run(const Function& f) {
    const uint64_t dim = fit_.dim();
    for (uint64_t i = 0; i < rows_.size(); ++i) {
      for (uint64_t c = 0; c < h_.n; c += dim) f(i, c, std::min(dim, h_.n - c));
    }
  }

  const Curvature& h_;
  const form::VectorFit& fit_;
  std::span<const double> importance_;
  int threads_;
  std::vector<uint64_t> rows_;
  std::vector<float> padded_, product_;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

void refit_entries(const Curvature& h, form::MatrixView weights, std::span<const double> importance,
                   int threads, form::VectorFit& fit) {
  const uint64_t count = fit.entries(), rows = weights.shape.rows;
  if (count == 0) return;
  const uint64_t wanted = (kElements * count + h.n - 1) / h.n;
  Operator op(h, fit, importance, std::max<uint64_t>(1, rows / std::max<uint64_t>(wanted, 1)),
              threads);
  std::vector<double> x = fit.entry_values(), slopes(count), scaled(count), sums(count);
  std::vector<float> errors(op.elements()), moved(op.elements());
  // How steep each entry's own error is.
  std::vector<double> steepness(count);
  op.elements_of(std::vector<double>(count, 1.0), moved);
  for (uint64_t i = 0; i < moved.size(); ++i) moved[i] *= h.diagonal[i % h.n];
  op.gather(moved, steepness);

  op.elements_of(x, moved);
  for (uint64_t i = 0; i < errors.size(); ++i) {
    errors[i] = weights.row(op.row(i / h.n))[i % h.n] - moved[i];
  }
  op.slopes(errors, slopes);
  const auto precondition = [&] {
    for (uint64_t e = 0; e < count; ++e) {
      scaled[e] = steepness[e] > 0 ? slopes[e] / steepness[e] : 0;
    }
    return dot(scaled, slopes);
  };
  double size = precondition();
  const double first = size;
  std::vector<double> direction = scaled;
  for (int round = 0; round < kRounds && size > kEnough * first; ++round) {
    op.elements_of(direction, moved);
    op.slopes(moved, sums);
    const double curvature = dot(direction, sums);
    if (!(curvature > 0) || !std::isfinite(curvature)) break;
    const double step = size / curvature;
    for (uint64_t e = 0; e < count; ++e) {
      x[e] += step * direction[e];
      slopes[e] -= step * sums[e];
    }
    const double before = size;
    size = precondition();
    for (uint64_t e = 0; e < count; ++e) direction[e] = scaled[e] + size / before * direction[e];
  }
  if (std::ranges::all_of(x, [](double v) { return std::isfinite(v); })) fit.set_entries(x);
}

}  // namespace pith::fit
