// What an error of a weight matrix means. With E = matrix - decoded, a row for each output:
//
//   squared          sum of E_rc^2
//   diagonal         sum of h_c E_rc^2: importance of the inputs, as activation scales or a Fisher
//                    diagonal give
//   second moments   sum over rows of E_r H E_rᵀ: the squared error of the layer's outputs, summed
//                    over the tokens that H = sum of x xᵀ has seen
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pith/fit/second_moment.h"
#include "pith/form/matrix.h"

namespace pith::fit {

class Metric {
 public:
  enum class Kind : uint8_t { kSquared, kDiagonal, kSecondMoments };

  Metric() = default;  // squared
  // Throws ErrorKind::kData for an importance that is negative or no number.
  static Metric diagonal(std::vector<double> importance);
  // The matrix is symmetric and positive semidefinite, row-major. Throws ErrorKind::kData for NaN,
  // infinity, a negative diagonal or elements that are not symmetric; kUsage unless it has n x n.
  static Metric second_moments(uint64_t n, std::vector<double> matrix);
  static Metric of(SecondMoment moment);

  Kind kind() const { return kind_; }
  // Columns that it speaks of; 0 where it fits any number.
  uint64_t columns() const { return columns_; }
  // Of each column: the importance or the matrix's diagonal; 1 for the squared error.
  double importance(uint64_t column) const;
  std::span<const double> matrix() const;  // of second moments

  // Throws ErrorKind::kUsage unless it fits matrices of this shape.
  void require(form::Shape shape) const;

 private:
  Kind kind_ = Kind::kSquared;
  uint64_t columns_ = 0;
  std::shared_ptr<const std::vector<double>> values_;  // copies share them
};

// Of each row, in float64; the same for any number of threads (0: as many as there are). Throws
// ErrorKind::kUsage for matrices of different shapes, or of another shape than the metric's.
std::vector<double> row_errors(const Metric& metric, form::MatrixView matrix,
                               form::MatrixView decoded, int threads = 0);
// The sum of all rows'.
double error(const Metric& metric, form::MatrixView matrix, form::MatrixView decoded,
             int threads = 0);

}  // namespace pith::fit
