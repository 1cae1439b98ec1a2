// Codes and scales of blocks of neighbours, each set to what is best while all others stay, until
// nothing changes: the error of a row, E H Eᵀ, only falls (coordinate descent, as QuantEase's:
// Behdin et al. 2023; with scales, which AdaQuant learns too: Hubara et al. 2021).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pith/form/ggml_fit.h"
#include "pith/form/uniform_fit.h"

namespace pith::fit {

// Groups of a uniform form as blocks of one group each: d is the scale, dmin what is taken away.
class UniformBlocks {
 public:
  using Block = form::GgmlFit::Block;

  explicit UniformBlocks(const form::UniformFit& fit) : fit_(fit) {}

  uint64_t block_length() const { return fit_.group_length(); }
  uint64_t group_length() const { return fit_.group_length(); }
  bool shared_may_change() const { return !fit_.scales_first(); }
  float rounded(float shared) const { return fit_.rounded({shared, 0}).scale; }
  bool holds(const Block&) const { return true; }
  form::UniformScale scale(const Block& b, uint64_t) const { return {b.d, -b.dmin}; }
  uint8_t code(float w, form::UniformScale s) const { return fit_.code(w, s); }
  float value(uint8_t code, form::UniformScale s) const { return fit_.value(code, s); }

 private:
  const form::UniformFit& fit_;
};

class GgmlBlocks {
 public:
  using Block = form::GgmlFit::Block;

  explicit GgmlBlocks(const form::GgmlFit& fit) : fit_(fit) {}

  uint64_t block_length() const { return fit_.block_length(); }
  uint64_t group_length() const { return fit_.group_length(); }
  bool shared_may_change() const { return true; }
  float rounded(float shared) const { return fit_.rounded(shared); }
  bool holds(const Block& b) const { return fit_.holds(b); }
  form::UniformScale scale(const Block& b, uint64_t g) const { return fit_.scale(b, g); }
  uint8_t code(float w, form::UniformScale s) const { return fit_.code(w, s); }
  float value(uint8_t code, form::UniformScale s) const { return fit_.value(code, s); }

 private:
  const form::GgmlFit& fit_;
};

template <class Blocks>
class BlockDescent {
 public:
  using Block = typename Blocks::Block;

  // matrix: H, n x n, symmetric.
  BlockDescent(const Blocks& fit, std::span<const float> matrix)
      : fit_(fit), matrix_(matrix.data()) {}

  // blocks and codes of these rows, row-major, at most so many times over. Returns the error that
  // is left.
  double run(form::MatrixView weights, int sweeps, std::vector<Block>& blocks,
             std::vector<uint8_t>& codes);

 private:
  void sweep(int sweeps, Block* blocks, uint8_t* codes);
  bool improve_codes(uint64_t first, uint64_t n, form::UniformScale scale, uint8_t* codes);
  bool improve_scale(uint64_t block, uint64_t g, Block& b, const uint8_t* codes);
  bool improve_shared(uint64_t block, Block& b, const uint8_t* codes);
  // Takes the block's new scales for columns first <= c < first + n if that lowers the error.
  bool attempt(uint64_t block, uint64_t first, uint64_t n, Block& b, const Block& with,
               const uint8_t* codes);
  // v · left and v H vᵀ of the columns from `first` on.
  std::pair<double, double> along(uint64_t first, std::span<const float> v) const;
  void change(uint64_t column, float by);
  float value(uint64_t block, const Block& b, const uint8_t* codes, uint64_t column) const;

  const Blocks& fit_;
  const float* matrix_;
  // Of the row: (weights - values) H, which is kept up, and the values.
  std::span<float> left_, values_;
  std::vector<float> change_, direction_;
};

extern template class BlockDescent<UniformBlocks>;
extern template class BlockDescent<GgmlBlocks>;

}  // namespace pith::fit
