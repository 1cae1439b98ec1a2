#include "pith/weights/rotated_model.h"

#include <nlohmann/json.hpp>

#include "changed_inputs.h"
#include "input_scales.h"
#include "learned_rotation.h"
#include "pith/base/error.h"
#include "pith/model/rotated_weights.h"

namespace pith::weights {
namespace {

using archive::Input;
using model::RotatedWeights;
using model::WeightSource;

// With the source that they read.
struct Rotated {
  std::unique_ptr<WeightSource> source;
  std::unique_ptr<RotatedWeights> weights;
};

// The config of a model whose head is a tensor of its own, in f32.
Bytes untied(ByteView config) {
  auto json = nlohmann::ordered_json::parse(config.begin(), config.end());
  json["tie_word_embeddings"] = false;
  for (const char* type : {"torch_dtype", "dtype"}) {
    if (json.contains(type)) json[type] = "float32";
  }
  const std::string text = json.dump(1) + "\n";
  return {text.begin(), text.end()};
}

model::Rotation rotation_of(const WeightSource& source, std::string_view text,
                            const RotateOptions& options) {
  switch (options.by) {
    case RotateBy::kNothing:
      break;
    case RotateBy::kValues:
    case RotateBy::kHadamard:
      return hadamard_rotations(source.config(), options.by == RotateBy::kHadamard, options.seed);
    case RotateBy::kLearned:
      return learned_rotation(source, text, options);
  }
  return {};
}

}  // namespace

ChangedModel rotated_model(const std::filesystem::path& path, std::vector<Input> inputs,
                           std::string_view text, const RotateOptions& options) {
  if (options.seed == 0) fail(ErrorKind::kUsage, "a rotation needs a seed that is not 0");
  if (!(options.smooth >= 0 && options.smooth <= 1)) {
    fail(ErrorKind::kUsage, "channels are scaled by a power of 0 to 1, not {}", options.smooth);
  }
  const auto rotated = std::make_shared<Rotated>();
  rotated->source = model::open_weights(path);
  const WeightSource& source = *rotated->source;
  ChangedInputs files(std::move(inputs), source.names());
  model::Rotation rotation = rotation_of(source, text, options);
  if (options.smooth > 0) {
    const RotatedWeights turned(source, rotation, options.threads);
    rotation.scales = input_scales(model::make_model(turned), text, options);
  }
  const bool stream = !rotation.stream.values.empty();
  rotated->weights = std::make_unique<RotatedWeights>(source, std::move(rotation), options.threads);
  return std::move(files).with({rotated, rotated->weights.get()},
                               stream ? EditConfig(untied) : EditConfig());
}

}  // namespace pith::weights
