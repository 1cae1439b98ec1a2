#include "group_choice.h"

#include <bit>
#include <cmath>

namespace pith::fit {
namespace {

// Of what a solution is divided by, so that it exists.
constexpr double kLittle = 1e-7;

}  // namespace

GroupChoice::GroupChoice(uint64_t size, const double* q, const double* t, const double* values)
    : n_(size), q_(q), now_(values), aim_(t, t + size), best_(size) {
  for (uint64_t i = 0; i < n_; ++i) {
    for (uint64_t j = 0; j < n_; ++j) aim_[i] += q_[i * n_ + j] * values[j];
  }
}

double GroupChoice::solve(uint32_t mask) {
  uint64_t at[kMost], k = 0;
  for (uint64_t i = 0; i < n_; ++i) {
    if (mask >> i & 1) at[k++] = i;
  }
  double a[kMost][kMost + 1];
  for (uint64_t i = 0; i < k; ++i) {
    for (uint64_t j = 0; j < k; ++j) a[i][j] = q_[at[i] * n_ + at[j]];
    a[i][i] *= 1 + kLittle;
    a[i][k] = aim_[at[i]];
  }
  for (uint64_t i = 0; i < k; ++i) {
    if (!(a[i][i] > 0)) return INFINITY;
    for (uint64_t r = i + 1; r < k; ++r) {
      const double f = a[r][i] / a[i][i];
      for (uint64_t j = i; j <= k; ++j) a[r][j] -= f * a[i][j];
    }
  }
  best_.assign(n_, 0);
  for (uint64_t i = k; i-- > 0;) {
    double v = a[i][k];
    for (uint64_t j = i + 1; j < k; ++j) v -= a[i][j] * best_[at[j]];
    best_[at[i]] = v / a[i][i];
  }
  return loss(best_.data()) - loss(now_);
}

double GroupChoice::choose(uint32_t& mask) {
  const uint32_t before = mask;
  double least = solve(before);
  for (uint32_t other = 0; other < uint32_t{1} << n_; ++other) {
    if (std::popcount(other) != std::popcount(before)) continue;
    const double change = solve(other);
    if (!(change < least)) continue;
    least = change;
    mask = other;
  }
  return solve(mask);
}

double GroupChoice::loss(const double* v) const {
  double sum = 0;
  for (uint64_t i = 0; i < n_; ++i) {
    double qv = 0;
    for (uint64_t j = 0; j < n_; ++j) qv += q_[i * n_ + j] * v[j];
    sum += v[i] * (qv - 2 * aim_[i]);
  }
  return sum;
}

}  // namespace pith::fit
