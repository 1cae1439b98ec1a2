// Published methods as named compositions of Pith's parts.
//
//   const Recipe& recipe = find_recipe("checkpoint-prediction");
//   Plan plan;
//   plan.write.base = open_base(...);
//   apply(recipe, {}, plan);
//   write_archive(inputs, target, plan.write);
//
// A recipe never has an implementation of its own: it sets the options of the parts. The page
// docs/systems.md is made from this registry by `pith recipes --markdown`.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/archive/writer.h"
#include "pith/network/compress_network.h"
#include "pith/recipe/checkpoint_prediction.h"
#include "pith/recipe/taxonomy.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/reduced_model.h"

namespace pith::recipe {

// What a user says to a recipe: key=value pairs.
using Values = std::map<std::string, std::string, std::less<>>;

// What a recipe decides.
struct Plan {
  archive::WriteOptions write;  // threads, base, progress and overwrite are the caller's
  // A lossy recipe replaces the inputs: call it, when there is one, on what is to be written.
  std::function<std::vector<archive::Input>(std::vector<archive::Input>)> transform;
  // A recipe for the matrices of a language model: what each gets one of, and whether that needs a
  // text (weights/compress_model.h).
  std::vector<weights::FormCandidate> candidates = {};
  weights::Allocation allocation = {};  // how they are shared out
  bool calibrated = true;
  weights::CurvatureNeeds curvature = {};
  // What it does to all of them together afterwards (weights/refining.h).
  weights::Refine refine = {};
  std::optional<weights::LeaveOut> leave_out = {};  // experts, when the archive runs
  // A recipe that takes heads, units or parts of layers out of a model, before anything else is
  // done to it (weights/reduced_model.h).
  weights::Reduce reduce = {};
  // What it does to the layers of a network of ONNX together, in place of forms for each
  // (network/compress_network.h).
  network::JoinLayers join_layers = {};
  // What the transform lost, complete when the archive is written; null: nothing is lost.
  std::shared_ptr<CheckpointLosses> losses;
};

struct Option {
  std::string_view key, default_value, meaning;
};

// An option that sets how large the result is, and values of it that are worth comparing
// (recipe/sized_plan.h).
struct SizeOption {
  std::string_view key;
  std::vector<std::string_view> values;
};

// What a recipe finds in the models that it does something to, beside a decoder's matrices.
struct Needs {
  bool dense = false;        // feed-forward parts that are no experts
  bool experts = false;      // some that are
  bool safetensors = false;  // tensors whose shapes may change, which those of GGUF files do not
  std::string_view nearest = {};  // recipe for models without these
};

struct Recipe {
  std::string_view name;                // "zipnn"
  std::string_view id;                  // of the paper in Pith's list: "S259"
  std::string_view title;               // of the paper
  std::string_view area;                // "lossless", "weights", …
  std::string_view summary;             // what it does, a sentence or two
  std::string_view compose;             // in the notation of Pith's forms
  std::string_view differs;             // from the paper, and what is not built
  std::string_view waits;               // what of the paper is not here yet; empty: nothing
  std::string_view verified;            // how: tests and benchmark
  std::string_view example;             // a command line
  std::vector<std::string_view> parts;  // headers below include/pith
  std::vector<Option> options;
  Place place;                    // in the axes of surveys
  std::vector<SizeOption> sizes;  // of what is for models: all combinations that apply are tried
  bool needs_base = false;
  Needs needs = {};
  // Whether it is for the layers of networks of ONNX; unset: where its plan is forms for matrices,
  // chosen by nothing that only language models have.
  std::optional<bool> networks = {};
  // `values` has every key of `options`. Throws kUsage for a bad value.
  void (*apply)(const Values& values, Plan& plan) = nullptr;
};

// All recipes, by name.
std::span<const Recipe> all_recipes();
// By name or id; throws kUsage that names the nearest, or says what shows a study (studies.h) or
// where a cache belongs (cache_recipes.h).
const Recipe& find_recipe(std::string_view name_or_id);

// Those that take parts out of a model, which a limit or forms may follow.
std::vector<std::string_view> reducing_recipes();

// "key=value" into a pair; throws kUsage.
void add_value(Values& values, std::string_view text);
// Fills defaults, refuses unknown keys and a missing base (kUsage), and sets the plan's options.
void apply(const Recipe& recipe, Values values, Plan& plan);
// Whether it is for the matrices of a language model, not for any files.
bool is_for_models(const Recipe& recipe);
// Throws, with what can be done instead, where that is no language model that Pith runs (kData), or
// one that the recipe (null: none) does nothing to (kUsage). Looks at no tensor.
void require_model(const Recipe* recipe, const std::filesystem::path& model);
// For a model whose matrices are fitted as the plan says.
weights::CompressModelOptions model_options(const Plan& plan);

// "fast", "default", "max"; throws kUsage.
lossless::Level parse_level(std::string_view text);
std::string_view level_name(lossless::Level level);

// Of recipes by name, what a benchmark found: a line for each size.
using Results = std::map<std::string, std::vector<std::string>, std::less<>>;

// The page that lists them, in Markdown.
std::string markdown(const Results& results = {});

}  // namespace pith::recipe
