// Units of a hidden layer that are taken out as a whole: neurons of a feed-forward part, of one
// column each in the matrix that reads them, or heads, of as many columns as a head has.
//
//   const UnitMoments moments(metric, group, damping);
//   std::vector<uint32_t> kept = pivoted_units(moments, count);        // ascending
//   form::Matrix smaller = folded(moments, w, kept);                   // reads the kept ones alone
//
// With hidden values x, H = E[x xᵀ] and W what reads them, the error of W' on the kept ones is
// E|W x - W' x_K|²; the least has W' = W H_:K H_KK⁻¹, which is W with the rest expressed by the
// kept ones (the interpolative decomposition of x, and Nyström's approximation of H).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/fit/metric.h"
#include "pith/form/matrix.h"

namespace pith::fit {

// Second moments of hidden values, damped: of columns that always went together, and of such as
// were never seen, the corrections stay small.
class UnitMoments {
 public:
  // group: columns of a unit. damping: added to the diagonal, as a share of its mean. Throws
  // ErrorKind::kUsage for a metric of another kind than second moments, columns that are no whole
  // units, or a damping that is not above 0.
  UnitMoments(const Metric& metric, uint64_t group, double damping, int threads = 0);

  uint64_t columns() const { return columns_; }
  uint64_t group() const { return group_; }
  uint64_t units() const { return columns_ / group_; }
  double added() const { return added_; }  // to the diagonal
  int threads() const { return threads_; }
  std::span<const double> matrix() const { return matrix_; }  // damped, columns x columns
  double at(uint64_t r, uint64_t c) const { return matrix_[r * columns_ + c]; }
  // Of the damped matrix.
  std::vector<double> inverse() const;

 private:
  uint64_t columns_, group_;
  double added_ = 0;
  int threads_;
  std::vector<double> matrix_;
};

// So many units, ascending, each the one whose values the ones before it explain least: the pivots
// of QR with column pivoting on the values, found from their moments (Cholesky with diagonal
// pivoting; Flores et al., STAT, 2024, for neurons and heads).
std::vector<uint32_t> pivoted_units(const UnitMoments& moments, uint64_t count);

// Of each unit the sum of its columns' ridge leverage scores, [E[x xᵀ] H⁻¹]_cc: how much of it no
// other unit has (Lin et al., MoDeGPT, 2025). From 0 to the size of the group.
std::vector<double> leverage_scores(const UnitMoments& moments);

// In which order units go, always the one whose removal costs least while those that are left make
// up for it, and what the outputs have then lost: Optimal Brain Surgeon for structures (Kurtić et
// al., ZipLM, 2023).
struct RemovalPath {
  std::vector<uint32_t> order;  // all units, the cheapest first
  // By H, behind the first k removals; units + 1 numbers, the first 0, the last tr W H Wᵀ.
  std::vector<double> errors;
};
// Throws ErrorKind::kUsage for weights of other columns.
RemovalPath removal_path(const UnitMoments& moments, form::MatrixView weights);

// W' for the columns of these units, ascending; of no units an empty matrix of no columns.
form::Matrix folded(const UnitMoments& moments, form::MatrixView weights,
                    std::span<const uint32_t> kept);
// The same columns without a correction.
form::Matrix selected(const UnitMoments& moments, form::MatrixView weights,
                      std::span<const uint32_t> kept);
// What reads the kept ones beside what read all: tr (W - W') H (W - W')ᵀ with zeros for the rest.
double removal_error(const UnitMoments& moments, form::MatrixView weights,
                     std::span<const uint32_t> kept, form::MatrixView smaller);

// The units of the highest scores, ascending; of equal ones the first.
std::vector<uint32_t> highest_units(std::span<const double> scores, uint64_t count);

}  // namespace pith::fit
