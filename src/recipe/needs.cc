// Whether a model is one that a recipe does something to.
#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/model/weight_source.h"
#include "recipes.h"

namespace pith::recipe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kInstead =
    "nearest to it are --form 'uniform(4)', which takes the matrices of any file, and the recipe "
    "zipnn, which loses nothing";

bool has_layer(const model::DecoderConfig& c, bool experts) {
  for (uint32_t l = 0; l < c.layers; ++l) {
    if (c.has_feed_forward(l) && c.has_experts(l) == experts) return true;
  }
  return false;
}

// What the recipe finds nothing of; empty: it is all there.
std::string_view missing(const Needs& needs, const model::DecoderConfig& c, bool gguf) {
  if (needs.safetensors && gguf) {
    return "changes the shapes of tensors, which it does in safetensors and not in GGUF files";
  }
  if (needs.dense && !has_layer(c, false)) {
    return "is for dense feed-forward parts, and all of this model's are mixtures of experts";
  }
  if (needs.experts && !has_layer(c, true)) return "is for experts, and the model has none";
  return "";
}

std::unique_ptr<model::WeightSource> open_model(const fs::path& path) {
  if (path.extension() == ".onnx") {
    fail(ErrorKind::kUsage, "{}: a language model is asked for, and this is a network of ONNX; {}",
         path.string(), kInstead);
  }
  try {
    return model::open_weights(path);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kData) throw;
    throw Error(e.kind(), fmt::format("{} (recipes and limits are for language models; {})",
                                      e.what(), kInstead));
  }
}

}  // namespace

bool is_for_models(const Recipe& recipe) { return recipe.area == "weights" && !recipe.needs_base; }

void require_model(const Recipe* recipe, const fs::path& path) {
  const auto source = open_model(path);
  if (!recipe || !is_for_models(*recipe)) return;
  const std::string_view reason = missing(recipe->needs, source->config(), model::is_gguf(path));
  if (reason.empty()) return;
  fail(ErrorKind::kUsage, "{}: recipe {} {}; {} is the nearest that fits it", path.string(),
       recipe->name, reason, recipe->needs.nearest);
}

}  // namespace pith::recipe
