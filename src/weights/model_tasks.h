// A model's matrices as tasks for fitters, one after the other: with what calibration knows of
// inputs and outputs, or with the weights alone.
#pragma once

#include <functional>
#include <optional>

#include "curvature.h"
#include "model_tensors.h"
#include "pith/fit/fitter.h"
#include "pith/weights/calibration_statistics.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

class ModelTasks {
 public:
  // All outlive it, and statistics may be set later. text: null for weights alone.
  ModelTasks(const model::LanguageModel& model, const ModelTensors& tensors,
             const std::optional<CalibrationStatistics>& statistics, const CalibrationText* text,
             const CurvatureNeeds& needs, int threads)
      : model_(model),
        tensors_(tensors),
        statistics_(statistics),
        text_(text),
        needs_(needs),
        threads_(threads) {}

  // What is to be fitted, each as the model is.
  void look(const std::function<void(const fit::Task&)>& visitor, const Progress& progress);
  // Each layer is seen as it is after those before it were fitted.
  using FitOne = std::function<form::FormPtr(const fit::Task&)>;
  void fit(const FitOne& fit_one, const Progress& progress);

 private:
  form::FormPtr visit(std::string_view name, const form::FormPtr& weight, const fit::Metric& metric,
                      const FitOne& fit_one);
  void weights_alone(const FitOne& fit_one, const Progress& progress);
  void walk(const FitOne& fit_one, bool only_look, const Progress& progress);

  const model::LanguageModel& model_;
  const ModelTensors& tensors_;
  const std::optional<CalibrationStatistics>& statistics_;
  const CalibrationText* text_;
  const CurvatureNeeds& needs_;
  int threads_;
  std::optional<Curvature> curvature_;  // from the first walk on
  // What the head sees is only known at the end of a walk, and the embedding that it shares is
  // fitted at the beginning: as it was looked at, else as calibration saw it.
  fit::Metric head_inputs() const;
  std::optional<fit::Metric> looked_at_;
};

}  // namespace pith::weights
