// Where the tokens of a text go in a model with experts: which experts are asked for, how sure the
// routers are and which tokens matter, and what follows for experts that are left out.
//
//   const RoutingStudy study = study_routing(model, text, text.count());
//   config.expert_thresholds = thresholds(study, {.share = 0.5, .kept_whole = 0.02});
#pragma once

#include <cstdint>
#include <vector>

#include "pith/archive/source.h"
#include "pith/model/language_model.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

struct ExpertUse {
  double frequency = 0;  // the share of tokens that choose it
  double weight = 0;     // of its output in theirs, on the mean of these tokens
};

struct LayerRouting {
  std::vector<ExpertUse> experts;  // none in a layer without
  // Of each token the weights of the experts beside its heaviest as shares of that one's, falling.
  std::vector<float> ratios;
  std::vector<float> importance;  // of each token, as ExpertThresholds has it
};
using RoutingStudy = std::vector<LayerRouting>;  // of each layer

// Over the first windows of the text; all chosen experts are visited, whatever the model's config
// leaves out. Throws ErrorKind::kUsage for no windows.
RoutingStudy study_routing(const model::LanguageModel& model, const CalibrationText& text,
                           uint64_t windows, int threads = 0);

// Of the text's tokens, in every layer.
struct LeaveOut {
  double share = 0;       // of the experts beside the heaviest, those of the smallest ratios
  double kept_whole = 0;  // of the tokens, the most important, for which none is left out
};

// Throws ErrorKind::kUsage for shares outside of 0 to 1.
std::vector<model::ExpertThresholds> thresholds(const RoutingStudy& study, const LeaveOut& what);

// Experts that a token visits, on the mean of all layers with experts; 0 without any.
double experts_per_token(const RoutingStudy& study,
                         const std::vector<model::ExpertThresholds>& thresholds);

// The inputs with these in config.json. Throws ErrorKind::kUsage where there is none.
std::vector<archive::Input> with_thresholds(std::vector<archive::Input> inputs,
                                            const std::vector<model::ExpertThresholds>& thresholds);

}  // namespace pith::weights
