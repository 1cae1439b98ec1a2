// Runs of neighbours as codewords of fewer coordinates, lifted by one small matrix: low-rank
// representation vector quantization (LR2VQ).
//
//   codebook(k, dim=d) * rank(columns / m * d) * repeated(m)
//
// is a matrix each of whose runs of m columns is one of k vectors of d numbers, times the same
// d x m block. The codebook takes k d numbers instead of k m, so that for as many bytes there are
// more entries; what no vector of the d directions can say is lost. How large d should be is
// expected beforehand from both losses.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/fit/fitter.h"

namespace pith::fit {

struct LiftedShape {
  uint64_t length = 16;    // m, columns of a run, 1 to 256; it divides those of the matrix
  uint64_t dim = 4;        // d, 1 to m; m itself is a codebook without a lift
  uint64_t entries = 256;  // k, 2 to 65536
};

struct LiftOptions {
  int rounds = 16;  // of turns, at most
};

// What such a form takes beside a few dozen bytes of parameters.
uint64_t lifted_bytes(form::Shape matrix, const LiftedShape& shape);

// The most entries with which a form of this dim is no larger than so many bytes; 0 where two are
// too many.
uint64_t entries_within(form::Shape matrix, uint64_t length, uint64_t dim, uint64_t bytes);

// What is expected to be left of a matrix, in units of its squares under the metric.
struct LiftForecast {
  LiftedShape shape;
  double low_rank = 0;    // of directions that are cut off
  double clustering = 0;  // within those that are kept
  double all() const { return low_rank + clustering; }
};
// For each dim that fits into so many bytes, from the eigenvalues of the runs' second moments:
// those cut off, and for the others what codes of log2(k) bits leave of normal runs at best
// (reverse water-filling), less what k entries follow the runs there are.
std::vector<LiftForecast> lift_forecasts(const Task& task, uint64_t length, uint64_t bytes);

// By turns: codes are the nearest under the importance of inputs and outputs, then entries and the
// lift are the least squares beside the others. Begins with the principal directions of runs and
// k-means in their coordinates. Throws ErrorKind::kUsage for a shape that cannot be, or does not
// fit the matrix.
Fitter lifted_codebook_fitter(const LiftedShape& shape, const LiftOptions& options = {});

// The same for each matrix with the dim that is expected to lose least of as many bytes as a
// codebook of `entries` and no lift takes (shape.dim is not used).
Fitter best_lifted_codebook_fitter(const LiftedShape& plain, const LiftOptions& options = {});

}  // namespace pith::fit
