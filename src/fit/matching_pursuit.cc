#include "matching_pursuit.h"

#include <algorithm>
#include <cmath>

namespace pith::fit {

namespace {

// Of a pattern's square, what has to be new beside those taken.
constexpr double kNew = 1e-9;

}  // namespace

MatchingPursuit::MatchingPursuit(std::span<const double> gram, uint64_t r, uint64_t count)
    : gram_(gram), r_(r), count_(std::min(count, r)), out_(r), lower_(count_ * count_) {}

void MatchingPursuit::run(std::span<const double> products) {
  chosen_.clear();
  factors_.clear();
  gained_ = 0;
  std::ranges::fill(out_, uint8_t{0});
  left_.assign(products.begin(), products.end());
  while (chosen_.size() < count_) {
    uint64_t best = r_;
    double most = 0;
    for (uint64_t j = 0; j < r_; ++j) {
      const double square = gram_[j * r_ + j];
      if (out_[j] != 0 || !(square > 0)) continue;
      const double gain = left_[j] * left_[j] / square;
      if (gain > most) {
        most = gain;
        best = j;
      }
    }
    if (best == r_) break;
    out_[best] = 1;
    if (!take(best)) continue;
    solve(products);
    leave(products);
  }
}

void MatchingPursuit::run_with(std::span<const double> products,
                               std::span<const uint64_t> patterns) {
  chosen_.clear();
  for (const uint64_t pattern : patterns) {
    if (chosen_.size() < count_) take(pattern);
  }
  solve(products);
}

bool MatchingPursuit::take(uint64_t pattern) {
  const uint64_t k = chosen_.size();
  double* row = lower_.data() + k * count_;
  double rest = gram_[pattern * r_ + pattern];
  for (uint64_t i = 0; i < k; ++i) {
    double sum = gram_[pattern * r_ + chosen_[i]];
    for (uint64_t j = 0; j < i; ++j) sum -= row[j] * lower_[i * count_ + j];
    row[i] = sum / lower_[i * count_ + i];
    rest -= row[i] * row[i];
  }
  if (!(rest > kNew * gram_[pattern * r_ + pattern])) return false;
  row[k] = std::sqrt(rest);
  chosen_.push_back(pattern);
  return true;
}

// Factors of least squares.
void MatchingPursuit::solve(std::span<const double> products) {
  const uint64_t n = chosen_.size();
  factors_.resize(n);
  for (uint64_t i = 0; i < n; ++i) {
    double sum = products[chosen_[i]];
    for (uint64_t j = 0; j < i; ++j) sum -= lower_[i * count_ + j] * factors_[j];
    factors_[i] = sum / lower_[i * count_ + i];
  }
  for (uint64_t i = n; i-- > 0;) {
    double sum = factors_[i];
    for (uint64_t j = i + 1; j < n; ++j) sum -= lower_[j * count_ + i] * factors_[j];
    factors_[i] = sum / lower_[i * count_ + i];
  }
  gained_ = 0;
  for (uint64_t i = 0; i < n; ++i) gained_ += factors_[i] * products[chosen_[i]];
}

// What the factors leave of the products.
void MatchingPursuit::leave(std::span<const double> products) {
  std::ranges::copy(products, left_.begin());
  for (uint64_t i = 0; i < chosen_.size(); ++i) {
    const double* row = gram_.data() + chosen_[i] * r_;
    for (uint64_t j = 0; j < r_; ++j) left_[j] -= factors_[i] * row[j];
  }
}

}  // namespace pith::fit
