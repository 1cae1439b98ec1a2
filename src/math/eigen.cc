#include "pith/math/eigen.h"

#include <Eigen/Dense>

namespace pith::math {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Index index(uint64_t n) { return static_cast<Eigen::Index>(n); }

std::vector<float> values_of(const RowMajor& m) { return {m.data(), m.data() + m.size()}; }

}  // namespace

SymmetricEigen symmetric_eigen(const float* a, uint64_t n) {
  if (n == 0) return {};
  const Eigen::Map<const RowMajor> input(a, index(n), index(n));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXf> solver(input);
  SymmetricEigen out;
  RowMajor vectors = solver.eigenvectors().transpose().colwise().reverse();
  for (Eigen::Index k = 0; k < vectors.rows(); ++k) {
    Eigen::Index largest = 0;
    vectors.row(k).cwiseAbs().maxCoeff(&largest);
    if (vectors(k, largest) < 0) vectors.row(k) *= -1;
    out.values.push_back(solver.eigenvalues()(vectors.rows() - 1 - k));
  }
  out.vectors = values_of(vectors);
  return out;
}

std::vector<float> inverse(const float* a, uint64_t n) {
  if (n == 0) return {};
  const Eigen::Map<const RowMajor> input(a, index(n), index(n));
  return values_of(input.partialPivLu().inverse());
}

std::vector<float> gram(const float* a, uint64_t rows, uint64_t cols, uint64_t stride) {
  const Eigen::Map<const RowMajor, 0, Eigen::OuterStride<>> input(
      a, index(rows), index(cols), Eigen::OuterStride<>(index(stride)));
  RowMajor out = RowMajor::Zero(index(cols), index(cols));
  out.noalias() = input.transpose() * input;
  return values_of(out);
}

}  // namespace pith::math
