// Input vectors as bytes: every 32 elements of a vector share a scale, as in llama.cpp's Q8_0.
//
// For products with small integers, which multiply bytes eight times as fast as floats. An element
// is off by at most 1/254 of the largest of its 32.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::form {

// Block by block (32 columns, the last filled up with zeros), in each block vector by vector.
struct QuantizedVectors {
  uint64_t batch = 0, cols = 0;
  std::vector<int8_t> values;  // [block][vector][32]
  std::vector<float> scales;   // [block][vector]; NaN where an element is not finite
  // Of the values of each half of a block, [block][half][vector], and of whole ones.
  struct Sums {
    std::vector<int32_t> values;
    std::vector<float> scaled;  // times the scale
  };
  Sums half_sums, block_sums;

  // The vectors that the bytes stand for.
  Matrix decoded() const;
};

QuantizedVectors quantize_vectors(MatrixView vectors);

}  // namespace pith::form
