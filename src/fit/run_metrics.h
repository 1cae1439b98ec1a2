// What errors of runs of neighbouring columns mean, by the factor H = U D Uᵀ.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "tile_product.h"

namespace pith::fit {

class RunMetrics {
 public:
  // matrix: H, n x n; empty where no column depends on another.
  template <class Factor>
  RunMetrics(const Factor& factor, std::span<const double> pivots, std::span<const float> matrix,
             uint64_t dim)
      : n_(pivots.size()), dim_(dim), runs_((n_ + dim - 1) / dim) {
    conditional_.resize(runs_ * dim * dim);
    for (uint64_t run = 0; run < runs_; ++run) {
      double* m = conditional_.data() + run * dim * dim;
      const uint64_t first = run * dim, n = std::min(dim, n_ - first);
      const auto u = [&](uint64_t i, uint64_t j) -> double {
        if (i == j) return 1;
        return factor.feeds_back() ? factor.row((first + j) / kTile, first + i)[(first + j) % kTile]
                                   : 0;
      };
      for (uint64_t j = 0; j < n; ++j) {
        for (uint64_t a = 0; a <= j; ++a) {
          for (uint64_t b = 0; b <= j; ++b) m[a * dim + b] += u(a, j) * pivots[first + j] * u(b, j);
        }
      }
    }
    if (!matrix.empty()) set_own(matrix);
  }

  // Once the columns after the run have made up for what they can.
  std::span<const double> conditional(uint64_t run) const { return of(conditional_, run); }
  // While all other columns stay, and the inverse of this.
  std::span<const double> own(uint64_t run) const { return of(own_, run); }
  std::span<const double> inverse(uint64_t run) const { return of(inverse_, run); }

 private:
  std::span<const double> of(const std::vector<double>& v, uint64_t run) const {
    return std::span(v).subspan(run * dim_ * dim_, dim_ * dim_);
  }

  void set_own(std::span<const float> matrix) {
    own_.resize(runs_ * dim_ * dim_);
    inverse_.resize(own_.size());
    for (uint64_t run = 0; run < runs_; ++run) {
      const uint64_t first = run * dim_, n = std::min(dim_, n_ - first);
      double* own = own_.data() + run * dim_ * dim_;
      for (uint64_t a = 0; a < n; ++a) {
        for (uint64_t b = 0; b < n; ++b) own[a * dim_ + b] = matrix[(first + a) * n_ + first + b];
      }
      invert(own, n, inverse_.data() + run * dim_ * dim_);
    }
  }

  // By Cholesky's factor; where there is none, by the diagonal alone.
  void invert(const double* a, uint64_t n, double* to) const {
    std::vector<double> l(n * n);
    bool good = true;
    for (uint64_t j = 0; j < n && good; ++j) {
      double pivot = a[j * dim_ + j];
      for (uint64_t k = 0; k < j; ++k) pivot -= l[j * n + k] * l[j * n + k];
      good = pivot > 1e-9 * a[j * dim_ + j];
      if (!good) break;
      l[j * n + j] = std::sqrt(pivot);
      for (uint64_t i = j + 1; i < n; ++i) {
        double sum = a[i * dim_ + j];
        for (uint64_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
        l[i * n + j] = sum / l[j * n + j];
      }
    }
    std::vector<double> x(n);
    for (uint64_t c = 0; c < n; ++c) {
      if (!good) {
        to[c * dim_ + c] = 1 / a[c * dim_ + c];
        continue;
      }
      for (uint64_t i = 0; i < n; ++i) {
        double sum = i == c ? 1 : 0;
        for (uint64_t k = 0; k < i; ++k) sum -= l[i * n + k] * x[k];
        x[i] = sum / l[i * n + i];
      }
      for (uint64_t i = n; i-- > 0;) {
        double sum = x[i];
        for (uint64_t k = i + 1; k < n; ++k) sum -= l[k * n + i] * to[k * dim_ + c];
        to[i * dim_ + c] = sum / l[i * n + i];
      }
    }
  }

  uint64_t n_, dim_, runs_;
  std::vector<double> conditional_, own_, inverse_;
};

}  // namespace pith::fit
