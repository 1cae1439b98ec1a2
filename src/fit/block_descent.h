// Codes and scales of GGML's blocks, each set to what is best while all others stay, until nothing
// changes: the error of a row, E H Eᵀ, only falls (coordinate descent, as QuantEase's: Behdin et
// al. 2023; with scales as AdaQuant learns them: Hubara et al. 2021).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pith/form/ggml_fit.h"

namespace pith::fit {

class BlockDescent {
 public:
  // matrix: H, n x n, symmetric.
  BlockDescent(const form::GgmlFit& fit, std::span<const float> matrix)
      : fit_(fit), matrix_(matrix.data()) {}

  // One row. weights: n; left: (weights - values) H, which is kept up; blocks and codes are those
  // that gave the values. Returns the error.
  double run(std::span<const float> weights, std::span<float> left, int sweeps,
             form::GgmlFit::Block* blocks, uint8_t* codes);

 private:
  using Block = form::GgmlFit::Block;

  bool improve_codes(uint64_t first, form::UniformScale scale, uint8_t* codes);
  bool improve_scale(uint64_t block, uint64_t g, Block& b, const uint8_t* codes);
  bool improve_shared(uint64_t block, Block& b, const uint8_t* codes);
  // Takes the block's new scales for columns first <= c < first + n if that lowers the error.
  bool attempt(uint64_t block, uint64_t first, uint64_t n, Block& b, const Block& with,
               const uint8_t* codes);
  // v · left and v H vᵀ of the columns from `first` on; v has a multiple of 16.
  std::pair<double, double> along(uint64_t first, std::span<const float> v) const;
  void change(uint64_t column, float by);
  float value(uint64_t block, const Block& b, const uint8_t* codes, uint64_t column) const;

  const form::GgmlFit& fit_;
  const float* matrix_;
  std::span<float> left_;
  std::vector<float> values_, change_, direction_;
};

}  // namespace pith::fit
