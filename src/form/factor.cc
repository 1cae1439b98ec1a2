#include "factor.h"

#include <algorithm>

#include "blockdiag.h"
#include "permutation.h"
#include "product.h"

namespace pith::form {
namespace {

// What is added to the diagonal of a Gram matrix, as a share of its mean.
constexpr float kRidge = 1e-5f;

Eigen::Index index(uint64_t n) { return static_cast<Eigen::Index>(n); }

}  // namespace

EigenMatrix least_squares(const EigenMatrix& a, const EigenMatrix& b) {
  const Eigen::Index n = a.cols();
  if (n == 0 || a.rows() == 0) return EigenMatrix::Zero(n, b.cols());
  EigenMatrix gram = a.transpose() * a;
  const float ridge = kRidge * gram.diagonal().sum() / static_cast<float>(n);
  if (!(ridge > 0)) return EigenMatrix::Zero(n, b.cols());
  gram.diagonal().array() += ridge;
  const EigenMatrix right = a.transpose() * b;
  return gram.llt().solve(right);
}

Factor::Factor(const Form& form) : orthonormal_(is_orthonormal_kind(form.kind())) {
  const Matrix decoded = decode(form);
  const Eigen::Index rows = index(form.shape().rows), cols = index(form.shape().cols);
  matrix_ = Eigen::Map<const EigenMatrix>(decoded.values.data(), rows, cols);
  if (const auto* p = dynamic_cast<const PermutationForm*>(&form)) order_ = p->order();
  if (const auto* d = dynamic_cast<const BlockDiagForm*>(&form)) {
    const DiagonalBlocks& b = d->blocks();
    for (uint64_t i = 0; i < b.count_in(form.shape()); ++i) {
      const Eigen::Index row = index(i * b.rows), col = index(i * b.cols);
      blocks_.push_back(
          {row, std::min(index(b.rows), rows - row), col, std::min(index(b.cols), cols - col)});
    }
  } else {
    blocks_.push_back({0, rows, 0, cols});
  }
}

EigenMatrix Factor::times(const EigenMatrix& m) const {
  EigenMatrix out = EigenMatrix::Zero(matrix_.rows(), m.cols());
  for (size_t i = 0; i < order_.size(); ++i) out.row(index(i)) = m.row(order_[i]);
  if (!order_.empty()) return out;
  for (const Block& b : blocks_) {
    out.middleRows(b.row, b.rows).noalias() +=
        matrix_.block(b.row, b.col, b.rows, b.cols) * m.middleRows(b.col, b.cols);
  }
  return out;
}

EigenMatrix Factor::transposed_times(const EigenMatrix& m) const {
  EigenMatrix out = EigenMatrix::Zero(matrix_.cols(), m.cols());
  for (size_t i = 0; i < order_.size(); ++i) out.row(order_[i]) = m.row(index(i));
  if (!order_.empty()) return out;
  for (const Block& b : blocks_) {
    out.middleRows(b.col, b.cols).noalias() +=
        matrix_.block(b.row, b.col, b.rows, b.cols).transpose() * m.middleRows(b.row, b.rows);
  }
  return out;
}

EigenMatrix Factor::times_from_right(const EigenMatrix& m) const {
  EigenMatrix out = EigenMatrix::Zero(m.rows(), matrix_.cols());
  for (size_t i = 0; i < order_.size(); ++i) out.col(order_[i]) = m.col(index(i));
  if (!order_.empty()) return out;
  for (const Block& b : blocks_) {
    out.middleCols(b.col, b.cols).noalias() +=
        m.middleCols(b.row, b.rows) * matrix_.block(b.row, b.col, b.rows, b.cols);
  }
  return out;
}

EigenMatrix Factor::transposed_from_right(const EigenMatrix& m) const {
  EigenMatrix out = EigenMatrix::Zero(m.rows(), matrix_.rows());
  for (size_t i = 0; i < order_.size(); ++i) out.col(index(i)) = m.col(order_[i]);
  if (!order_.empty()) return out;
  for (const Block& b : blocks_) {
    out.middleCols(b.row, b.rows).noalias() +=
        m.middleCols(b.col, b.cols) * matrix_.block(b.row, b.col, b.rows, b.cols).transpose();
  }
  return out;
}

EigenMatrix Factor::solved(const EigenMatrix& m) const {
  if (orthonormal_) return transposed_times(m);
  EigenMatrix out = EigenMatrix::Zero(matrix_.cols(), m.cols());
  for (const Block& b : blocks_) {
    out.middleRows(b.col, b.cols) =
        least_squares(matrix_.block(b.row, b.col, b.rows, b.cols), m.middleRows(b.row, b.rows));
  }
  return out;
}

EigenMatrix Factor::solved_from_right(const EigenMatrix& m) const {
  if (orthonormal_) return transposed_from_right(m);
  EigenMatrix out = EigenMatrix::Zero(m.rows(), matrix_.rows());
  for (const Block& b : blocks_) {
    out.middleCols(b.row, b.rows) =
        least_squares(matrix_.block(b.row, b.col, b.rows, b.cols).transpose(),
                      m.middleCols(b.col, b.cols).transpose())
            .transpose();
  }
  return out;
}

}  // namespace pith::form
