// Weights that are fixed one after the other, where those that are left make up for each as far as
// the curvature says that they can (Optimal Brain Surgeon: Hassibi and Stork 1993; exact for many
// weights as in Optimal Brain Compression: Frantar and Alistarh 2022).
//
// With the loss (w' - w) H (w' - w)ᵀ and C = H⁻¹ of those that are left, to fix weight p at t costs
// (w_p - t)² / C_pp, moves the others by -(w_p - t) / C_pp C_p, and leaves C - C_pᵀ C_p / C_pp.
// What is taken away from C is kept as columns, so that a step costs as many products as there are
// weights, times the steps before it: all steps together are Cholesky's factor of C with the
// cheapest weight as next pivot.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::fit {

class Elimination {
 public:
  // inverse: n x n, row-major, symmetric and positive definite; kept by the caller. group: weights
  // that are looked at together, neighbours from a multiple of it on.
  Elimination(std::span<const double> inverse, uint64_t n, uint64_t group = 1);

  // Begins anew with these weights.
  void begin(std::span<const float> weights);

  uint64_t size() const { return n_; }
  uint64_t groups() const { return (n_ + group_ - 1) / group_; }
  double weight(uint64_t p) const { return weights_[p]; }
  bool fixed(uint64_t p) const { return fixed_[p] != 0; }

  // Of one weight that is not fixed, to this value.
  double cost(uint64_t p, double to) const;
  // Of a group without fixed weights, to zeros.
  double group_cost(uint64_t g) const;
  // Fixes a weight that is not.
  void fix(uint64_t p, double to);
  void remove_group(uint64_t g);

 private:
  uint64_t group_size(uint64_t g) const { return std::min(group_, n_ - g * group_); }
  double& block(uint64_t g, uint64_t a, uint64_t b) {
    return blocks_[(g * group_ + a) * group_ + b];
  }
  double block(uint64_t g, uint64_t a, uint64_t b) const {
    return blocks_[(g * group_ + a) * group_ + b];
  }

  std::span<const double> inverse_;
  uint64_t n_, group_;
  std::vector<double> weights_;
  std::vector<uint8_t> fixed_;
  std::vector<double> blocks_;   // of C on its diagonal, group by group
  std::vector<double> columns_;  // C_p / sqrt(C_pp) of each step, one after the other
  std::vector<double> factors_;
};

}  // namespace pith::fit
