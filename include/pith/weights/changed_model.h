// A model that was changed before it is compressed, with the files that an archive of it holds.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/archive/source.h"
#include "pith/model/language_model.h"

namespace pith::weights {

struct ChangedModel {
  model::LanguageModel model;
  // Those given, with the model's tensors in one file of safetensors and a config that says what it
  // is now; they hold what they read.
  std::vector<archive::Input> inputs;
  // Of the input as it was given: elements of floats, and bytes.
  uint64_t weights = 0, bytes = 0;
};

}  // namespace pith::weights
