// Elements picked from a value at regular steps: what transposing, slicing and repeating have in
// common.
#pragma once

#include "pith/network/tensor.h"

namespace pith::network {

struct Steps {
  Dims dims;                   // of the result
  std::vector<int64_t> steps;  // in elements of the source, for each dimension of the result
  int64_t begin = 0;
};

// Of a value itself.
Steps whole(const Dims& dims);

Tensor picked(const Tensor& from, const Steps& steps);

// body(elements) with the elements of the value, floats or integers.
template <class Body>
auto with_elements(const Tensor& t, const Body& body) {
  return t.is_float() ? body(t.floats()) : body(t.integers());
}

}  // namespace pith::network
