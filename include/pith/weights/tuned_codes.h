// Codes, entries and scales of a whole model tuned on what its predictions lose: the divergence
// from the model as it was, on a calibration text, and its gradients.
//
//   options.refine = [](const Refining& r) { return tune_codes(r, {.steps = 100}); };
#pragma once

#include "pith/fit/code_steps.h"
#include "pith/weights/refining.h"

namespace pith::weights {

struct TuningOptions {
  uint64_t steps = 100;
  uint64_t tokens = 2048;  // of a step, in whole windows, which come in turn
  // Continuous steps become shorter, along a half cosine, to nothing at the end.
  fit::CodeStepOptions codes = {};
};

// Forms that fit::CodeSteps takes are tuned, all others stay. Takes fit::CodeSteps::kBytes and 8
// more for each of their weights, and what gradients take. Throws ErrorKind::kUsage without a text,
// or where no form can be tuned; kData, with the tensor, where gradients are not finite.
std::map<std::string, form::FormPtr, std::less<>> tune_codes(const Refining& refining,
                                                             const TuningOptions& options = {});

}  // namespace pith::weights
