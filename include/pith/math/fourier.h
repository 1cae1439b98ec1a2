// The discrete Fourier transform of any size, in O(n log n).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace pith::math {

// As plain as it is, so that products need no regard to infinities (std::complex's do).
struct Complex {
  double re = 0, im = 0;
  friend Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
};

// X[k] = sum of x[j] exp(-2 pi i j k / n). Sizes whose prime factors are small by mixed radices
// (Cooley and Tukey 1965), others as a convolution of a power of two (Bluestein 1970).
class Fourier {
 public:
  explicit Fourier(uint64_t size);

  uint64_t size() const { return size_; }
  // In place; many threads may call it at a time.
  void forward(Complex* x) const;
  // 1/n of the sums with the other sign.
  void inverse(Complex* x) const;

 private:
  void radices(const Complex* in, Complex* out, uint64_t n, uint64_t stride, size_t factor) const;
  void combine(Complex* x, uint64_t parts, uint64_t n) const;
  void convolve(Complex* x) const;

  uint64_t size_;
  std::vector<uint64_t> factors_;
  std::vector<Complex> roots_;  // exp(-2 pi i k / n)
  // Of sizes with a large prime factor: the chirp, and the transform of its conjugate.
  std::vector<Complex> chirp_, kernel_;
  std::unique_ptr<Fourier> power_;
};

}  // namespace pith::math
