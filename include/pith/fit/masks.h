// Which elements a sparse form keeps, by scores: those of largest score anywhere, in each row, n of
// every m neighbours, or blocks of neighbours of the largest mean.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/fit/fitter.h"
#include "pith/form/sparse_fit.h"

namespace pith::fit {

enum class Score : uint8_t {
  kMagnitude,  // w²
  // w² A_cc: what the outputs lose if nothing makes up for the element (Wanda: Sun et al. 2024)
  kActivation,
  // The same for weights in units of their column's and then their row's norm, so that no row or
  // column is emptied for being small (NoWag: Liu et al. 2025)
  kNormalized,
  // w² / [A⁻¹]_cc: what is lost if all other elements of the row make up for it (Hassibi and Stork
  // 1993), A damped by a hundredth of its mean
  kRemoval,
};

// Blocks of neighbours in one row.
inline bool is_row_blocks(const form::SparseOptions& options) {
  return options.pattern == form::SparsePattern::kBlocks && options.height == 1;
}

// Of each element, row-major; never negative. Throws ErrorKind::kData for weights that are not
// finite.
std::vector<float> scores(Score score, const Task& task);

// kRow: every row keeps the same share.
enum class Among : uint8_t { kAll, kRow };

// A byte for each element, 1 where it is kept; ties go to the earlier one. Options of single
// elements, n:m, or blocks of one row that divide it. Throws ErrorKind::kUsage for other patterns.
std::vector<uint8_t> kept(const form::SparseOptions& options, form::Shape shape,
                          std::span<const float> scores, Among among = Among::kAll);

// The values of kept elements that are best for the metric, others being zero: each row's least
// squares over what it keeps, by conjugate gradients from `start`, whose error is never exceeded.
struct RefitOptions {
  int rounds = 32;  // at most
  double damping = 1e-4;
};
form::Matrix refitted(const Task& task, std::span<const uint8_t> keep, form::MatrixView start,
                      const RefitOptions& options = {});

// `sparse(...)` of such a pattern with what scores best; refit: with values that make up
// for what is not kept.
Fitter mask_fitter(const form::Expression& expression, Score score, Among among = Among::kAll,
                   bool refit = false);

}  // namespace pith::fit
