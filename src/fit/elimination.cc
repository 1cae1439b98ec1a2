#include "elimination.h"

#include <algorithm>
#include <cmath>

#include "double_multiples.h"

namespace pith::fit {

Elimination::Elimination(std::span<const double> inverse, uint64_t n, uint64_t group)
    : inverse_(inverse), n_(n), group_(group) {}

void Elimination::begin(std::span<const float> weights) {
  weights_.assign(weights.begin(), weights.end());
  fixed_.assign(n_, 0);
  columns_.clear();
  blocks_.assign(groups() * group_ * group_, 0);
  for (uint64_t p = 0; p < n_; ++p) {
    const uint64_t g = p / group_;
    for (uint64_t b = 0; b < group_size(g); ++b) {
      block(g, p % group_, b) = inverse_[p * n_ + g * group_ + b];
    }
  }
}

double Elimination::cost(uint64_t p, double to) const {
  const double off = weights_[p] - to, own = block(p / group_, p % group_, p % group_);
  return own > 0 ? off * off / own : 0;
}

double Elimination::group_cost(uint64_t g) const {
  if (group_ == 1) return cost(g, 0);
  // By Cholesky's factor l of the block: |l⁻¹ w|².
  const uint64_t n = group_size(g);
  std::vector<double> l(n * n), x(n);
  double sum = 0;
  for (uint64_t r = 0; r < n; ++r) {
    double w = weights_[g * group_ + r];
    for (uint64_t c = 0; c <= r; ++c) {
      double v = block(g, r, c);
      for (uint64_t i = 0; i < c; ++i) v -= l[r * n + i] * l[c * n + i];
      if (c < r) {
        l[r * n + c] = l[c * n + c] > 0 ? v / l[c * n + c] : 0;
        w -= l[r * n + c] * x[c];
      } else {
        l[r * n + r] = v > 0 ? std::sqrt(v) : 0;
      }
    }
    x[r] = l[r * n + r] > 0 ? w / l[r * n + r] : 0;
    sum += x[r] * x[r];
  }
  return sum;
}

void Elimination::fix(uint64_t p, double to) {
  const uint64_t steps = n_ == 0 ? 0 : columns_.size() / n_;
  factors_.resize(steps);
  for (uint64_t t = 0; t < steps; ++t) factors_[t] = columns_[t * n_ + p];
  columns_.insert(columns_.end(), inverse_.begin() + static_cast<int64_t>(p * n_),
                  inverse_.begin() + static_cast<int64_t>((p + 1) * n_));
  double* column = columns_.data() + steps * n_;
  subtract_multiples(columns_.data(), factors_.data(), steps, n_, column);
  const double own = column[p];
  fixed_[p] = 1;
  if (!(own > 0)) {
    // Nothing can make up for it any more, but for rounding.
    columns_.resize(steps * n_);
    weights_[p] = to;
    return;
  }
  const double share = (weights_[p] - to) / own, root = 1 / std::sqrt(own);
  for (uint64_t q = 0; q < n_; ++q) {
    // Those that are fixed stay where they are; their columns are zero but for rounding.
    if (fixed_[q] != 0) {
      column[q] = 0;
      continue;
    }
    weights_[q] -= share * column[q];
    column[q] *= root;
  }
  column[p] = 0;
  weights_[p] = to;
  for (uint64_t g = 0; g < groups(); ++g) {
    const double* c = column + g * group_;
    for (uint64_t a = 0; a < group_size(g); ++a) {
      for (uint64_t b = 0; b < group_size(g); ++b) block(g, a, b) -= c[a] * c[b];
    }
  }
}

void Elimination::remove_group(uint64_t g) {
  for (uint64_t p = g * group_; p < g * group_ + group_size(g); ++p) fix(p, 0);
}

}  // namespace pith::fit
