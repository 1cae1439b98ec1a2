// A model of which some matrices are in other forms, run on the calibration text: what is really
// lost with them.
#pragma once

#include <functional>
#include <map>
#include <string_view>
#include <vector>

#include "pith/model/layer_runner.h"
#include "pith/weights/calibration_text.h"

namespace pith::weights {

// The form of a tensor; null: as it was. The same tensors always get the same few form objects,
// which outlive the model.
using StitchedForms = std::function<form::FormPtr(std::string_view name)>;

class StitchedModel {
 public:
  // Model and text outlive it.
  StitchedModel(const model::LanguageModel& model, const CalibrationText& text, int threads);

  // From the model as it was, nats a token, over the windows first, first + 1 …, which begin again
  // after the last one.
  double divergence(const StitchedForms& forms, uint64_t first, uint64_t windows);
  // The squared error of the residual stream behind the layers first … last - 1 if only these have
  // other forms, as a share of its squares.
  double stream_error(const StitchedForms& forms, size_t first, size_t last, uint64_t windows);

 private:
  form::FormPtr in_floats(const form::FormPtr& form);
  model::DecoderLayer layer(size_t index, const StitchedForms& forms);
  // Streams of windows, one after the other.
  std::vector<int32_t> ids(uint64_t first, uint64_t windows) const;
  const form::Matrix& last_stream(uint64_t window);
  const form::Matrix& stream_before(size_t layer, uint64_t windows);

  const model::LanguageModel& model_;
  const CalibrationText& text_;
  int threads_;
  model::LayerRunner runner_;
  std::map<const form::Form*, form::FormPtr> floats_;
  uint64_t float_bytes_ = 0;
  // Of the model as it was: behind the last layer, by window; before each layer, of the first
  // windows.
  std::vector<form::Matrix> last_, before_;
};

}  // namespace pith::weights
