// The axes of a symmetric matrix, and inverses.
#pragma once

#include <cstdint>
#include <vector>

namespace pith::math {

// a = sum of values[k] v_k v_kᵀ, with v_k row k of `vectors` (n x n, row-major, orthonormal), its
// largest component positive; values fall. a: n x n, finite, only its lower triangle is read.
struct SymmetricEigen {
  std::vector<float> values, vectors;
};
SymmetricEigen symmetric_eigen(const float* a, uint64_t n);

// Of an n x n matrix, row-major; its entries are not finite where there is none.
std::vector<float> inverse(const float* a, uint64_t n);

// aᵀ a of a matrix of so many rows and columns, row-major with rows `stride` floats apart.
std::vector<float> gram(const float* a, uint64_t rows, uint64_t cols, uint64_t stride);

}  // namespace pith::math
