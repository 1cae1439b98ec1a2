// Lossy checkpoints against the one saved before, ready to resume training from (S233: "An
// Efficient Compression of Deep Neural Network Checkpoints Based on Prediction and Context
// Modeling", 2025).
//
//   auto losses = std::make_shared<CheckpointLosses>();
//   write_archive(predict_checkpoint(inputs, base, {.bits = 4}, losses), target, {.base = base});
//
// Every float tensor that the base has too becomes base + Q(tensor - base): residuals that are
// small against their spread are pruned to zero, the others go to the nearest of a few cluster
// centers. The base is the checkpoint as it was restored, so errors do not add up along a series.
// Second moments of optimizers (exp_avg_sq) become base × Q(tensor / base), clustered by logarithm,
// which keeps them positive and their relative error even; first moments (exp_avg) are clustered by
// themselves where that is nearer than the residual, because they forget within a few steps.
//
// What is stored is a file of these values: lossless::encode finds the steps again and codes their
// indices in the context of the base, and everything that holds for archives holds for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pith/archive/base.h"
#include "pith/archive/source.h"
#include "pith/lossless/step_arithmetic.h"

namespace pith::recipe {

struct PredictionOptions {
  int bits = 4;        // 2 to 8: 2^bits - 1 cluster centers besides zero (at most 254)
  double prune = 0.5;  // residuals below this share of their root mean square become zero; 0 to 4
};

// Throws kUsage when an option is out of range.
void check(const PredictionOptions& options);

// What a tensor lost. Sums over its finite elements.
struct TensorLoss {
  std::string file, tensor;
  lossless::steps::Domain domain{};  // how a value follows from the base's and its step
  uint64_t elements = 0, pruned = 0;
  double rms_value = 0, rms_residual = 0;  // of the original; of its difference to the base
  double rms_error = 0, max_error = 0;     // of what is stored instead
};

// Filled while the inputs are read, a tensor at its first bytes; complete when the archive is.
using CheckpointLosses = std::vector<TensorLoss>;

// The inputs with their tensors replaced. Tensors of other types, of less than 1024 elements
// (biases, norms, step counters), without a base tensor of the same name, type and shape, and what
// is not finite stay as they are. Throws kUsage for options out of range.
std::vector<archive::Input> predict_checkpoint(
    std::vector<archive::Input> inputs, const std::shared_ptr<const archive::Base>& base,
    const PredictionOptions& options, const std::shared_ptr<CheckpointLosses>& losses = {});

}  // namespace pith::recipe
