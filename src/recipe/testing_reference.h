// What recipes do to the reference model, or to a few of its layers, and what that loses on text
// that nothing was fitted to.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "../weights/testing_reference.h"
#include "pith/recipe/registry.h"
#include "pith/weights/compress_model.h"

namespace pith::recipe::testing {

using weights::testing::reference;

// Little text: what is shown needs no more.
inline const weights::CompressModelOptions& little_text() {
  static const weights::CompressModelOptions made = [] {
    weights::CompressModelOptions options;
    options.size = {.tokens = 1024, .window = 64};
    options.threads = 2;
    const weights::CalibrationText text = weights::calibration_text(
        reference().model, weights::default_calibration_text(), options.size);
    options.statistics = weights::calibrate(
        reference().model, text.windows, text.length,
        {.gradient_tokens = 1024, .gradient_moments = true, .threads = options.threads});
    return options;
  }();
  return made;
}

struct Outcome {
  double divergence = 0;  // nats a token on held-out text
  double bytes = 0;       // of the archive
  std::vector<weights::PlannedTensor> tensors;
};

// Other matrices than those whose name matches stay as they are.
inline Outcome outcome(Plan plan, std::string_view others, const weights::Limits& limits = {}) {
  weights::CompressModelOptions options = little_text();
  options.candidates = std::move(plan.candidates);
  options.allocation = std::move(plan.allocation);
  options.curvature = plan.curvature;
  options.refine = std::move(plan.refine);
  options.rules = plan.write.forms;
  options.rules.push_back(archive::lossless_rule(others));
  weights::ModelCompressor compressor(reference().model, reference().inputs,
                                      weights::default_calibration_text(), std::move(options));
  const weights::CompressedModel made = compressor.compress(limits);
  EXPECT_TRUE(made.measured);
  return {made.measured->divergence, made.plan.bytes, made.plan.tensors};
}

inline Outcome of_recipe(std::string_view name, const Values& values, std::string_view others,
                         const weights::Limits& limits = {}) {
  Plan plan;
  apply(find_recipe(name), values, plan);
  return outcome(std::move(plan), others, limits);
}

inline Outcome of_fitter(fit::Fitter fitter, std::string_view others) {
  Plan plan;
  plan.candidates.push_back({"fitter", std::move(fitter)});
  plan.write.forms.push_back(archive::lossless_rule("embed"));
  plan.curvature.output_moments = true;
  return outcome(std::move(plan), others);
}

}  // namespace pith::recipe::testing
