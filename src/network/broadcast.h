// Two values of different shapes, element by element, as NumPy and ONNX pair them: from the last
// dimension on, where one of two dimensions may be 1 and is repeated then.
#pragma once

#include "pith/network/tensor.h"

namespace pith::network {

// Throws ErrorKind::kData for shapes that do not fit.
Dims broadcast(const Dims& a, const Dims& b);

// Steps between elements in each dimension of `to`; 0 where they are repeated.
std::vector<uint64_t> broadcast_strides(const Dims& from, const Dims& to);

// row(a, b, out) for each run of n elements in the last dimension of `to`: where they begin. In the
// run, elements of a are step_a apart (0 or 1), those of b step_b.
struct Pairing {
  Pairing(const Dims& a, const Dims& b);

  Dims dims;
  uint64_t n = 1, step_a = 0, step_b = 0;

  template <class Row>
  void for_rows(const Row& row) const {
    uint64_t at_a = 0, at_b = 0;
    const uint64_t rows = n == 0 ? 0 : elements(dims) / n;
    std::vector<uint64_t> index(dims.size(), 0);
    for (uint64_t r = 0; r < rows; ++r) {
      row(at_a, at_b, r * n);
      for (size_t k = dims.size() - (dims.empty() ? 0 : 1); k-- > 0;) {
        at_a += strides_a[k];
        at_b += strides_b[k];
        if (++index[k] < dims[k]) break;
        at_a -= strides_a[k] * dims[k];
        at_b -= strides_b[k] * dims[k];
        index[k] = 0;
      }
    }
  }

 private:
  std::vector<uint64_t> strides_a, strides_b;
};

// op(a, b) of all pairs.
template <class To, class From, class Op>
std::vector<To> paired(const Pairing& p, std::span<const From> a, std::span<const From> b,
                       const Op& op) {
  std::vector<To> out(elements(p.dims));
  p.for_rows([&](uint64_t at_a, uint64_t at_b, uint64_t at) {
    const From *x = a.data() + at_a, *y = b.data() + at_b;
    To* to = out.data() + at;
    if (p.step_a == 1 && p.step_b == 1) {
      for (uint64_t i = 0; i < p.n; ++i) to[i] = op(x[i], y[i]);
    } else {
      for (uint64_t i = 0; i < p.n; ++i) to[i] = op(x[i * p.step_a], y[i * p.step_b]);
    }
  });
  return out;
}

}  // namespace pith::network
