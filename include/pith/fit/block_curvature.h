// Curvature from gradients in blocks of neighbouring weights, and pruning by it: the Optimal BERT
// Surgeon (Kurtic et al. 2022), after WoodFisher (Singh and Alistarh 2020).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/fit/fitter.h"
#include "pith/form/form.h"
#include "pith/form/sparse_fit.h"

namespace pith::fit {

struct BlockCurvatureOptions {
  uint64_t width = 48;    // weights of a block, in the order of the matrix's rows
  double damping = 1e-7;  // added to the diagonal, in squares of gradients
  uint64_t samples = 0;   // that will be added
};

// The inverse of damping + 1 / samples * sum of g gᵀ, block by block: each sample updates it
// (Woodbury). Takes 8 * width bytes for each weight.
class BlockCurvature {
 public:
  // Throws ErrorKind::kUsage for no samples, no width or damping that is not above 0.
  BlockCurvature(form::Shape shape, const BlockCurvatureOptions& options);

  // The gradient of one sample's loss at the weights. Throws ErrorKind::kUsage for another shape or
  // more samples than were said, kData for NaN or infinity.
  void add(form::MatrixView gradient, int threads = 0);
  // The same from a linear layer: inputs [rows][columns of the weights], gradients at its outputs
  // [rows][rows of the weights]; every so many rows are one sample, whose gradient is their sum
  // times `scale`. Throws ErrorKind::kUsage for parts of samples, too.
  void add(form::MatrixView inputs, form::MatrixView gradients, uint64_t rows_of_sample,
           float scale = 1, int threads = 0);

  form::Shape shape() const { return shape_; }
  uint64_t samples() const { return added_; }
  uint64_t blocks() const;
  // Weights of a block; the last may have fewer.
  uint64_t size(uint64_t block) const;
  std::span<const double> inverse(uint64_t block) const;  // size x size

 private:
  void add_all(std::span<const form::MatrixView> gradients, int threads);

  form::Shape shape_;
  BlockCurvatureOptions options_;
  uint64_t added_ = 0;
  std::vector<double> inverses_;
};

struct CurvaturePruned {
  form::FormPtr form;
  std::vector<uint8_t> keep;  // of each element
  double loss = 0;            // by which it is expected to grow: half the sum of what was removed
};

// `sparse(share)`, or `sparse(share, block=…)` for neighbours that go together, where `block`
// divides the rows and the blocks of curvature: the cheapest go first, whichever block they are in,
// and each time the rest of the block makes up for them. Throws ErrorKind::kUsage for other
// expressions and shapes, kData for weights that are not finite.
CurvaturePruned prune(const form::Expression& expression, form::MatrixView weights,
                      const BlockCurvature& curvature, int threads = 0);

// The same with Task::curvature; the error is twice that loss, before values are rounded. Throws
// ErrorKind::kUsage where the task has none.
Fitter curvature_fitter(const form::Expression& expression);

}  // namespace pith::fit
