// A model with rotations, or scales of channels, folded into its weights, as the files that an
// archive gets: what rounds its matrices or their inputs loses less where few channels are larger
// than all others, and it computes the same.
//
//   ChangedModel r = rotated_model("model", inputs, text, {.by = RotateBy::kHadamard});
//   ModelCompressor compressor(r.model, r.inputs, text, options);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "pith/base/progress.h"
#include "pith/form/expression.h"
#include "pith/weights/calibration_text.h"
#include "pith/weights/changed_model.h"

namespace pith::weights {

enum class RotateBy : uint8_t {
  kNothing,
  // Hadamard, in the heads of values alone: nothing else changes, embeddings stay tied.
  kValues,
  // Hadamard, the residual stream as well: norms become ones, and a tied head a tensor of its own.
  kHadamard,
  // From these on, so that rounding loses less of what the text shows to matter.
  kLearned,
};

struct RotateOptions {
  RotateBy by = RotateBy::kHadamard;
  // Channels of what the norms of layers give are scaled by their root mean square to this power,
  // after the rotation; 0 to 1, 0: none.
  double smooth = 0;
  uint64_t seed = 1;  // of the Hadamard transforms' signs; not 0
  // What is read of the text, for learned rotations and for scales.
  CalibrationSize size = {.tokens = 8192};
  // What learned rotations are to suit, and steps of the descent.
  form::Expression rounding = form::parse("uniform(4, group=32)");
  uint64_t gradient_tokens = 4096;
  int steps = 100;
  int threads = 0;  // 0: as many as there are; the result is the same
  std::function<Progress(const char* stage)> progress = {};
};

// path: of the model, inputs: what an archive of it would hold; tensors that change become f32.
// Memory: all weights as f32; for learned ones second moments of all inputs besides. Throws
// ErrorKind::kUsage where there is no folder with safetensors, or, if embeddings are to be untied,
// no config.json among the inputs; kData for weights that are not finite.
ChangedModel rotated_model(const std::filesystem::path& path, std::vector<archive::Input> inputs,
                           std::string_view text, const RotateOptions& options);

}  // namespace pith::weights
