// Low rank in subbands: a matrix after a two-dimensional wavelet transform, each of its subbands
// with a rank of its own (WaRA: Heidari et al. 2025, arXiv 2506.24092, as the form of a difference
// of weights).
//
//   wavelet(haar, levels=1) * (wavelet(haar, levels=1) | tiles(part(lowrank(9), rows=0..64, …), …))
//
// A direction of a subband costs as many numbers as the subband has rows and columns, half of what
// it costs of the whole after one level: what is local to some rows and columns, or alike between
// neighbours, is cheaper so; what is spread over everything is dearer.
#pragma once

#include <cstdint>

#include "pith/form/expression.h"
#include "pith/form/matrix.h"
#include "pith/math/wavelet.h"

namespace pith::fit {

struct SubbandOptions {
  math::Wavelet wavelet = math::Wavelet::kHaar;
  int levels = 1;  // from 0, which has one band: plain low rank; the transform of each dimension
                   // ends where one element is left
};

// The expression with which form::encode() keeps the most of the matrix in at most so many numbers
// of factors: directions of all subbands by their squared singular value for each number. Subbands
// without any are `zeros`. Throws ErrorKind::kUsage for options that cannot be, kData for a matrix
// that is not finite.
form::Expression subband_ranks(form::MatrixView matrix, uint64_t numbers,
                               const SubbandOptions& options = {},
                               const form::Expression& factors = form::Expression::call(
                                   "dense", {{"", form::Expression::call("f16")}}));

}  // namespace pith::fit
