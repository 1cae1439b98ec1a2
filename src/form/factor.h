// Factors of a product while it is fitted: dense, blocks on a diagonal, a permutation or another
// orthonormal matrix, each of which products and least squares take as cheaply as it is.
#pragma once

#include <Eigen/Dense>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

using EigenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class Factor {
 public:
  // The numbers that the form stands for.
  explicit Factor(const Form& form);

  const EigenMatrix& matrix() const { return matrix_; }

  EigenMatrix times(const EigenMatrix& m) const;                  // F m
  EigenMatrix transposed_times(const EigenMatrix& m) const;       // Fᵀ m
  EigenMatrix times_from_right(const EigenMatrix& m) const;       // m F
  EigenMatrix transposed_from_right(const EigenMatrix& m) const;  // m Fᵀ
  // The x of least |F x - m|, and of least |x F - m|; a little of the squared size of x counts too,
  // so that there is one.
  EigenMatrix solved(const EigenMatrix& m) const;
  EigenMatrix solved_from_right(const EigenMatrix& m) const;

  // A rectangle outside of which the matrix is zero; the whole for dense ones.
  struct Block {
    Eigen::Index row, rows, col, cols;
  };
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  EigenMatrix matrix_;
  std::vector<Block> blocks_;
  std::vector<uint32_t> order_;  // of a permutation, else empty
  bool orthonormal_;
};

// The x of least |a x - b|² + small |x|².
EigenMatrix least_squares(const EigenMatrix& a, const EigenMatrix& b);

}  // namespace pith::form
