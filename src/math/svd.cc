#include "pith/math/svd.h"

#include <Eigen/Dense>
#include <algorithm>
#include <random>

namespace pith::math {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Input = Eigen::Map<const RowMajor>;
using Dense = Eigen::MatrixXf;

// Of smaller ones the whole decomposition is quick.
constexpr Eigen::Index kExact = 384;
constexpr Eigen::Index kOversampling = 16;
constexpr int kPowerRounds = 4;

Dense orthonormal(const Dense& a) {
  const Eigen::HouseholderQR<Dense> qr(a);
  return qr.householderQ() * Dense::Identity(a.rows(), a.cols());
}

// A basis of the directions in which the columns of a are longest.
Dense range_of(const Input& a, Eigen::Index width) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Dense start(a.cols(), width);
  for (Eigen::Index i = 0; i < start.size(); ++i) start.data()[i] = normal(random);
  Dense q = orthonormal(a * start);
  for (int round = 0; round < kPowerRounds; ++round)
    q = orthonormal(a * orthonormal(a.transpose() * q));
  return q;
}

Svd first(const Dense& u, const Eigen::VectorXf& s, const Dense& v, Eigen::Index rank) {
  Svd out;
  out.rank = static_cast<uint64_t>(rank);
  const RowMajor left = u.leftCols(rank), right = v.leftCols(rank).transpose();
  out.u.assign(left.data(), left.data() + left.size());
  out.s.assign(s.data(), s.data() + rank);
  out.v.assign(right.data(), right.data() + right.size());
  return out;
}

}  // namespace

Svd truncated_svd(const float* a, uint64_t rows, uint64_t cols, uint64_t rank) {
  const Input input(a, static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(cols));
  const Eigen::Index least = std::min(input.rows(), input.cols());
  const Eigen::Index k = std::min(static_cast<Eigen::Index>(rank), least);
  if (k == 0) return {};
  constexpr unsigned kThin = Eigen::ComputeThinU | Eigen::ComputeThinV;
  if (least <= kExact || k + kOversampling >= least) {
    const Eigen::BDCSVD<Dense> svd(input, kThin);
    return first(svd.matrixU(), svd.singularValues(), svd.matrixV(), k);
  }
  const Dense q = range_of(input, k + kOversampling);
  const Dense small = q.transpose() * input;
  const Eigen::BDCSVD<Dense> svd(small, kThin);
  return first(q * svd.matrixU(), svd.singularValues(), svd.matrixV(), k);
}

}  // namespace pith::math
