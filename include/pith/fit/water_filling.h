// Integers for the least error at a number of bits: one step for the whole of a model decides both.
//
//   WaterFilling fitter({.step = 2e-4});
//   const Fitted fitted = fitter(task);
//
// An error e of a weight costs outputs[r] D_c e^2 / 2 of the loss, D from error feedback
// (feedback.h). With steps for which this is the same everywhere and entropy-coded codes, every bit
// saves as much as any other, in all rows, columns and tensors: reverse water-filling (Cover and
// Thomas, Elements of Information Theory, 10.3.3) in the coordinates of error feedback. A loss of
// step^2 / 24 a weight is to be expected.
#pragma once

#include <memory>
#include <optional>

#include "pith/fit/feedback.h"
#include "pith/fit/fitter.h"

namespace pith::fit {

struct WaterFillingOptions {
  double step = 0;  // above 0
  form::Expression expression = form::parse("integer(states=8) > rans");
  double damping = 0.03;  // as of FeedbackOptions
  // The error of an output's row is never expected to be more than this share of what it gives:
  // what a gradient says holds for small errors only.
  double worst_noise = 0.1;
  // Of what outputs matter, so much is the same for all of a tensor: fewer tokens were seen than
  // would tell them apart.
  double alike = 0.2;
  double lambda = 0;  // as of ErrorFeedback::encode()
};

// Keeps the factor of the last metric: weights with the same inputs are best fitted one after the
// other.
class WaterFilling {
 public:
  explicit WaterFilling(WaterFillingOptions options);
  ~WaterFilling();
  WaterFilling(WaterFilling&&) noexcept;

  void set_step(double step) { options_.step = step; }
  Fitted operator()(const Task& task);

  // The step with which weights would get about so many bits each, were they normal variables.
  double step_for(const Task& task, double bits);

 private:
  struct Inputs;
  const Inputs& inputs_of(const Task& task);

  WaterFillingOptions options_;
  std::unique_ptr<Inputs> inputs_;
};

}  // namespace pith::fit
