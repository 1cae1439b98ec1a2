// What a model loses by other forms of its weights, on text that was kept back from calibration.
#pragma once

#include "model_tensors.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {

// The model with these forms for the weights of their names.
model::LanguageModel with_weights(const model::LanguageModel& model, const FormsByName& forms);
// The same with other thresholds of experts.
model::LanguageModel with_weights(const model::LanguageModel& model, const FormsByName& forms,
                                  std::vector<model::ExpertThresholds> thresholds);

// The second model beside the first. Nothing where the text was too short for some of it to be kept
// back.
std::optional<HeldOut> measure_held_out(const model::LanguageModel& model,
                                        const model::LanguageModel& small,
                                        const CalibrationText& text, int threads,
                                        const Progress& progress);

// Nothing where the text was too short for some of it to be kept back.
std::optional<HeldOut> measure_held_out(const model::LanguageModel& model, const FormsByName& forms,
                                        const CalibrationText& text, int threads,
                                        const Progress& progress);

}  // namespace pith::weights
