// Through a decoder layer by layer, with what calibration must know of each matrix at hand: whoever
// visits may put another form in its place, and what comes after is seen as that form gives it, so
// that later layers make up for the errors of earlier ones (GPTQ, Frantar et al. 2022).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "pith/base/progress.h"
#include "pith/fit/metric.h"
#include "pith/fit/second_moment.h"
#include "pith/model/language_model.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

enum class Role : uint8_t {
  kEmbedding,  // looked up by token; visited first, nothing is known of inputs
  kLayer,      // of attention, feed-forward or an expert
  kHead,       // visited last; where embeddings are tied it is the embedding once more
};

struct Visit {
  std::string_view name;  // of the tensor, as Hugging Face's files have it
  Role role;
  const form::FormPtr& weight;
  // Second moments of the inputs for a token; matrices with the same inputs (q, k and v) come one
  // after the other and share the metric. Squared error where no token came by.
  const fit::Metric& inputs;
  uint64_t tokens;  // that came by
};

// Returns the form that takes the weight's place for all that follows; null: it stays.
using Visitor = std::function<form::FormPtr(const Visit&)>;

struct WalkOptions {
  int threads = 0;
  // Weights stay as they are, whatever visitors return: half the work.
  bool only_look = false;
  Progress progress = {};  // in weights that were visited
};

// Memory: the text's residual streams twice, one layer in floats, second moments of one layer.
// Throws ErrorKind::kData, with the layer, where activations are not finite, and what visitors
// throw.
void walk_layers(const model::LanguageModel& model, const CalibrationText& text,
                 const Visitor& visitor, const WalkOptions& options = {});

}  // namespace pith::weights
