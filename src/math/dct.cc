#include "pith/math/dct.h"

#include <cmath>
#include <numbers>

namespace pith::math {
namespace {

// Even elements forward, then odd ones backward.
uint64_t place(uint64_t i, uint64_t n) { return i % 2 == 0 ? i / 2 : n - 1 - i / 2; }

}  // namespace

Dct::Dct(uint64_t size) : fourier_(size), turns_(size) {
  const auto n = static_cast<double>(size);
  for (uint64_t k = 0; k < size; ++k) {
    const double scale = std::sqrt((k == 0 ? 1 : 2) / n);
    const double angle = std::numbers::pi * static_cast<double>(k) / (2 * n);
    turns_[k] = {scale * std::cos(angle), -scale * std::sin(angle)};
  }
}

void Dct::forward(float* x) const {
  const uint64_t n = size();
  thread_local std::vector<Complex> v;
  v.resize(n);
  for (uint64_t i = 0; i < n; ++i) v[place(i, n)] = {x[i], 0};
  fourier_.forward(v.data());
  for (uint64_t k = 0; k < n; ++k) x[k] = static_cast<float>((v[k] * turns_[k]).re);
}

void Dct::inverse(float* x) const {
  const uint64_t n = size();
  thread_local std::vector<Complex> v;
  v.resize(n);
  // What forward() took the real part of has the elements from the other end as imaginary part.
  for (uint64_t k = 0; k < n; ++k) {
    const double norm = (k == 0 ? 1.0 : 0.5) * static_cast<double>(n);  // 1 / s_k^2
    const Complex turned{x[k], k == 0 ? 0.0 : -double{x[n - k]}};
    const Complex back{turns_[k].re * norm, -turns_[k].im * norm};
    v[k] = turned * back;
  }
  fourier_.inverse(v.data());
  for (uint64_t i = 0; i < n; ++i) x[i] = static_cast<float>(v[place(i, n)].re);
}

}  // namespace pith::math
