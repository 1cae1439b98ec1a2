// What a model loses on a text when heads, units or parts of layers are taken out of it, measured
// by running what is left: slower than any score, and true.
//
//   RemovalMeter meter(source, model, text, 4, threads);
//   const double lost = meter.divergence(reduction);        // nats a token
//   meter.begin_with(reduction);                            // from now on beside this one
//
// Layers before the first that changes are not run again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/reduced_weights.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

class RemovalMeter {
 public:
  // Over so many of the text's first windows. Keeps the residual stream before every layer, layers
  // + 2 times tokens times width floats. The source, its model and the text outlive it. threads: as
  // thread_count(); results do not depend on them. Throws ErrorKind::kUsage for no windows.
  RemovalMeter(const model::WeightSource& source, const model::LanguageModel& model,
               const CalibrationText& text, uint64_t windows, int threads);

  // Keeps what this model gives between layers, so that reductions which begin as it does are
  // quickly measured. Divergences stay those from the whole model.
  void begin_with(const model::Reduction& reduction);

  // The mean over tokens of the Kullback-Leibler divergence of what is left from the whole model.
  double divergence(const model::Reduction& reduction) const;

 private:
  // Behind the last layer; `kept`: where what enters each layer goes, if anywhere.
  form::Matrix run(const model::Reduction& reduction, uint32_t first, form::Matrix stream,
                   std::vector<form::Matrix>* kept) const;
  uint32_t first_change(const model::Reduction& reduction) const;

  const model::WeightSource& source_;
  const model::LanguageModel& model_;
  uint64_t length_;
  std::span<const int32_t> ids_;
  int threads_;
  model::Reduction begun_;
  std::vector<form::Matrix> streams_;  // before each layer of the model that was begun with
  form::Matrix whole_;                 // behind the last layer of the whole model
};

}  // namespace pith::weights
