#include "pith/math/fourier.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace pith::math {
namespace {

// Of larger primes the convolution is quicker than their own sums.
constexpr uint64_t kLargestRadix = 61;

Complex unit(double turns) {
  const double angle = 2 * std::numbers::pi * turns;
  return {std::cos(angle), std::sin(angle)};
}

Complex conjugate(Complex c) { return {c.re, -c.im}; }

std::vector<uint64_t> factors_of(uint64_t n) {
  std::vector<uint64_t> out;
  for (; n % 4 == 0 && n > 0; n /= 4) out.push_back(4);
  for (uint64_t p = 2; p * p <= n; ++p) {
    for (; n % p == 0; n /= p) out.push_back(p);
  }
  if (n > 1) out.push_back(n);
  return out;
}

std::vector<Complex> scratch_of(uint64_t n) { return std::vector<Complex>(n); }

}  // namespace

Fourier::Fourier(uint64_t size) : size_(size), factors_(factors_of(size)) {
  const auto n = static_cast<double>(size);
  if (factors_.empty() || *std::ranges::max_element(factors_) <= kLargestRadix) {
    roots_.resize(size);
    for (uint64_t k = 0; k < size; ++k) roots_[k] = unit(-static_cast<double>(k) / n);
    return;
  }
  chirp_.resize(size);
  for (uint64_t k = 0; k < size; ++k) {
    chirp_[k] = unit(-static_cast<double>(k * k % (2 * size)) / (2 * n));
  }
  power_ = std::make_unique<Fourier>(std::bit_ceil(2 * size - 1));
  kernel_ = scratch_of(power_->size());
  for (uint64_t k = 0; k < size; ++k) {
    kernel_[k] = conjugate(chirp_[k]);
    if (k > 0) kernel_[power_->size() - k] = kernel_[k];
  }
  power_->forward(kernel_.data());
}

// parts transforms of n / parts one after the other, of every parts-th element, become one of n.
void Fourier::combine(Complex* x, uint64_t parts, uint64_t n) const {
  const uint64_t m = n / parts, step = size_ / n, turn = size_ / parts;
  Complex t[kLargestRadix], sums[kLargestRadix];
  for (uint64_t k = 0; k < m; ++k) {
    for (uint64_t q = 0; q < parts; ++q) t[q] = x[q * m + k] * roots_[q * k * step];
    if (parts == 2) {
      x[k] = t[0] + t[1];
      x[k + m] = t[0] - t[1];
    } else if (parts == 4) {
      const Complex a = t[0] + t[2], b = t[0] - t[2], c = t[1] + t[3], d = t[1] - t[3];
      x[k] = a + c;
      x[k + m] = {b.re + d.im, b.im - d.re};
      x[k + 2 * m] = a - c;
      x[k + 3 * m] = {b.re - d.im, b.im + d.re};
    } else {
      for (uint64_t j = 0; j < parts; ++j) {
        sums[j] = t[0];
        for (uint64_t q = 1; q < parts; ++q)
          sums[j] = sums[j] + t[q] * roots_[q * j % parts * turn];
      }
      for (uint64_t j = 0; j < parts; ++j) x[k + j * m] = sums[j];
    }
  }
}

void Fourier::radices(const Complex* in, Complex* out, uint64_t n, uint64_t stride,
                      size_t factor) const {
  if (n == 1) {
    out[0] = in[0];
    return;
  }
  const uint64_t parts = factors_[factor], m = n / parts;
  for (uint64_t q = 0; q < parts; ++q)
    radices(in + q * stride, out + q * m, m, stride * parts, factor + 1);
  combine(out, parts, n);
}

void Fourier::convolve(Complex* x) const {
  std::vector<Complex> wide = scratch_of(power_->size());
  for (uint64_t k = 0; k < size_; ++k) wide[k] = x[k] * chirp_[k];
  power_->forward(wide.data());
  for (uint64_t k = 0; k < wide.size(); ++k) wide[k] = wide[k] * kernel_[k];
  power_->inverse(wide.data());
  for (uint64_t k = 0; k < size_; ++k) x[k] = wide[k] * chirp_[k];
}

void Fourier::forward(Complex* x) const {
  if (size_ <= 1) return;
  if (power_) return convolve(x);
  thread_local std::vector<Complex> in;
  in.assign(x, x + size_);
  radices(in.data(), x, size_, 1, 0);
}

void Fourier::inverse(Complex* x) const {
  for (uint64_t k = 0; k < size_; ++k) x[k] = conjugate(x[k]);
  forward(x);
  const double scale = 1 / static_cast<double>(std::max<uint64_t>(size_, 1));
  for (uint64_t k = 0; k < size_; ++k) x[k] = {scale * x[k].re, -scale * x[k].im};
}

}  // namespace pith::math
