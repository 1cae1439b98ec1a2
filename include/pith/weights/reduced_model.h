// A model without some of its heads, units or parts of layers, as the files that an archive gets.
//
//   ReducedModel r = reduced_model("model", inputs, text, reduce);
//   ModelCompressor compressor(r.changed.model, r.changed.inputs, text, options);   // or as it is
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/progress.h"
#include "pith/model/reduced_weights.h"
#include "pith/weights/calibration_text.h"
#include "pith/weights/changed_model.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {

// Seconds that each model takes for one more token behind `position` others: the fastest of some
// tries, in which all take turns, on this machine; with one thread the processor's time for it.
std::vector<double> token_seconds(std::span<const model::LanguageModel* const> models,
                                  uint64_t position, int threads);

// What whoever decides may look at.
struct Reducing {
  const model::WeightSource& source;
  const model::LanguageModel& model;  // of the source
  const CalibrationText& text;
  // Of the model that a reduction leaves from the model as it was, nats a token, over so many of
  // the first windows.
  std::function<double(const model::Reduction& reduction, uint64_t windows)> divergence = {};
  // How fast models are beside each other: seconds of a token behind so many.
  std::function<std::vector<double>(std::span<const model::LanguageModel* const>, uint64_t position,
                                    int threads)>
      seconds = token_seconds;
  int threads = 0;
  std::function<Progress(const char* stage)> progress = {};
  // What a user should know of the choice.
  std::function<void(std::string)> note = [](const std::string&) {};
};

// What is to be taken out of each layer.
using Reduce = std::function<model::Reduction(const Reducing&)>;

struct ReduceOptions {
  CalibrationSize size;
  int threads = 0;
  std::function<Progress(const char* stage)> progress = {};
};

struct ReducedModel {
  ChangedModel changed;
  model::Reduction reduction;
  std::vector<std::string> notes;
  uint64_t weights = 0;             // elements of matrices that are left
  std::optional<HeldOut> measured;  // of the model that is left; none where the text is too short
};

// path: of the model, inputs: what an archive of it would hold. Tensors stay in their types. Throws
// ErrorKind::kUsage where there is no folder with safetensors and a config.json.
ReducedModel reduced_model(const std::filesystem::path& path, std::vector<archive::Input> inputs,
                           std::string_view text, const Reduce& reduce,
                           const ReduceOptions& options = {});

// What a text shows a part of a layer to need: the matrix that reads its hidden values, and their
// second moments in the model whose earlier layers are reduced already.
struct HiddenUnits {
  uint32_t layer = 0;
  // Of attention, where a unit is a head of keys and values with the query heads that share it;
  // else of the feed-forward part.
  bool heads = false;
  uint64_t group = 1;  // columns of a unit
  model::LayerSizes sizes;
  form::MatrixView weights;  // o_proj or down_proj
  const fit::Metric& inputs;
};
// What is kept of it, ascending, and the columns that read it, empty for those that did.
struct KeptUnits {
  std::vector<uint32_t> kept;
  form::Matrix weights = {};
};
// Nothing: the part stays as it is.
using KeepUnits = std::function<std::optional<KeptUnits>(const HiddenUnits&)>;

// Of each dense layer in turn, attention first; what both parts of a layer read is that of the
// layer as it was behind reduced ones. in_turn: false: of every layer as it was in the model.
model::Reduction reduce_units(const Reducing& reducing, const KeepUnits& keep, bool in_turn = true);

// Puts what is kept of a part in its layer.
void take_units(const HiddenUnits& units, KeptUnits kept, model::ReducedLayer& layer);

// First-order estimates of what it costs the loss to take a unit out: for each o_proj and down_proj
// by its name, of each unit the mean over the text's tokens of |the sum over its columns of x times
// the gradient there| (Molchanov et al. 2019).
std::map<std::string, std::vector<double>, std::less<>> first_order_scores(
    const Reducing& reducing);

}  // namespace pith::weights
