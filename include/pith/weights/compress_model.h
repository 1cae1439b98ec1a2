// A language model's matrices in as few bytes as a limit says, with the least divergence from the
// model as it was.
//
//   ModelCompressor compressor(model, inputs, text, options);     // calibrates
//   compressor.plan({.bytes = 4 << 20});                          // what would come of it
//   CompressedModel small = compressor.compress({.bytes = 4 << 20});
//   compressor.store(small, options);
//   write_archive(compressor.inputs(), "small.pith", options);
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pith/archive/writer.h"
#include "pith/audit/perplexity.h"
#include "pith/base/progress.h"
#include "pith/fit/fitter.h"
#include "pith/form/expression.h"
#include "pith/model/language_model.h"
#include "pith/weights/allocation.h"
#include "pith/weights/calibration_statistics.h"
#include "pith/weights/calibration_text.h"
#include "pith/weights/journal.h"
#include "pith/weights/refining.h"
#include "pith/weights/routing.h"

namespace pith::weights {

// What must not be exceeded; at least one is set.
struct Limits {
  std::optional<uint64_t> bytes = {};     // of the whole archive
  std::optional<double> bits = {};        // of the archive for each weight of the model
  std::optional<double> ratio = {};       // of the input's bytes to the archive's
  std::optional<double> divergence = {};  // from the model as it was, nats a token on held-out text
  std::optional<double> perplexity = {};  // by which that on held-out text may grow, as a share
  std::optional<double> milliseconds = {};  // for a token, by what candidates take for a weight
};

// A form that matrices may get.
struct FormCandidate {
  std::string name;
  fit::Fitter fitter;
  double nanoseconds = 0;  // that a weight takes when a vector is multiplied; 0: not known
  // What the form costs and loses is found with this where the fitter takes long; empty: with it.
  fit::Fitter trial = {};
  bool whole = false;  // it is tried on whole matrices, not on some of their rows
  // Throws ErrorKind::kUsage for matrices of a shape that it cannot take, which is asked of all of
  // them before anything else is done; empty: it takes any.
  std::function<void(form::Shape)> check = {};
};

// What fitters want to know of the loss's curvature beside the importance of outputs
// (fit::Task::output_moments, ::curvature).
struct CurvatureNeeds {
  bool output_moments = false;  // of statistics that are given, too
  // Gradients of the loss, at the text's own tokens, of so many pieces of the calibration text, or
  // as many as it has; 0: none. Takes 8 * width bytes for each weight of the matrices that are at
  // hand at a time.
  uint64_t samples = 0;
  uint64_t sample_tokens = 64;  // of a piece
  uint64_t width = 48;          // of blocks of weights
  double damping = 1e-3;        // as a share of the mean square of a gradient
};

// Of a whole input: elements of floats and of blocks of them, and bytes.
struct InputSize {
  uint64_t weights = 0, bytes = 0;
};

inline constexpr uint64_t kGradientTokens = 8192;

struct CompressModelOptions {
  CalibrationSize size;
  // Of the calibration text, that gradients are made for. Unset: kGradientTokens, and half of that
  // for models of more than half a billion weights, where they take long.
  std::optional<uint64_t> gradient_tokens = {};
  bool calibrated = true;  // false: nothing but the weights is looked at
  // Statistics made before, of this very model; unset: made here.
  std::optional<CalibrationStatistics> statistics = {};
  // What every matrix gets one of, within the limits; a single one needs no limit. None: integers,
  // entropy-coded, whose steps are whatever the limits say.
  std::vector<FormCandidate> candidates = {};
  // How several candidates are shared out.
  Allocation allocation = {};
  // By the names of weights, what each gets, in place of a choice.
  std::map<std::string, FormCandidate, std::less<>> forms = {};
  CurvatureNeeds curvature = {};  // of the candidates
  // What will be asked for: where no candidates come near to it, that is said before anything is
  // calibrated.
  std::optional<Limits> within = {};
  // Done to the forms of all matrices before they are measured; without candidates it gives them,
  // in place of integers. Not kept in the journal.
  Refine refine = {};
  // Experts that tokens do without when the archive runs: by thresholds that are found on the text,
  // with the forms that were fitted, and stand in its config.json.
  std::optional<LeaveOut> leave_out = {};
  // Tensors that the writer's rules decide; as WriteOptions::forms.
  std::vector<archive::FormRule> rules = {};
  // What limits count by where the inputs are not those that were given (rotated_model.h); unset:
  // the inputs' own.
  std::optional<InputSize> input_size = {};
  // The folder where what is done is kept, so that the same work goes on if it was interrupted,
  // with the same result (weights/journal.h); empty: nowhere. Candidates of one name are to be the
  // same; what tells them apart otherwise is the key.
  std::filesystem::path journal = {};
  std::string journal_key = {};
  int threads = 0;
  // Stage ("calibrating", "measuring rates", "fitting", …) and how far it is.
  std::function<Progress(const char* stage)> progress = {};
};

struct PlannedTensor {
  std::string name;
  std::string form;  // expression
  uint64_t elements = 0;
  double bits = 0;  // an element
  double loss = 0;  // divergence to expect of it alone
};

struct ModelPlan {
  std::vector<PlannedTensor> tensors;
  uint64_t overhead = 0;  // bytes of all but these tensors
  uint64_t weights = 0;   // elements of all tensors of the model
  double bytes = 0;       // of the archive
  double divergence = 0;  // nats a token, to expect
  bool estimated = true;  // false: nothing is known of what to expect
  std::string note = {};  // of the choice: a solver that ran out of time; else empty

  // With its bytes and its loss.
  void add(PlannedTensor tensor);
};

// What was lost on text that no fit has seen.
struct HeldOut {
  uint64_t tokens = 0;
  double divergence = 0, perplexity = 0, perplexity_before = 0, same_best = 0;
};

struct CompressedModel {
  std::map<std::string, form::FormPtr, std::less<>> tensors;
  ModelPlan plan;                                        // with what came of it
  std::vector<model::ExpertThresholds> thresholds = {};  // where experts are left out, else none
  std::optional<HeldOut> measured;                       // none where the text is too short
};

class ModelCompressor {
 public:
  // The inputs are those that the archive will have, among them the model's weights. Reads the
  // text, calibrates, and measures rates. Throws ErrorKind::kUsage for statistics of another model,
  // rules that cannot be, candidates that fit none of some matrix's shape, and options.within out
  // of their reach; kData for models that cannot be calibrated, with the layer.
  ModelCompressor(const model::LanguageModel& model, std::vector<archive::Input> inputs,
                  std::string_view text, CompressModelOptions options);
  ~ModelCompressor();

  // Throws ErrorKind::kLimit, with the smallest that can be, for limits that cannot be met, by a
  // single form too; kUsage where none is set and there is a choice, where a weight has no form
  // among options.forms, or where experts are to be left out and there is no text.
  ModelPlan plan(const Limits& limits) const;
  CompressedModel compress(const Limits& limits);

  // For WriteOptions::fitted and ::forms.
  void store(const CompressedModel& compressed, archive::WriteOptions& options) const;

  // What to write: the inputs, but with elements (f16) in place of the blocks of a GGUF file's
  // matrices, which come back as such.
  const std::vector<archive::Input>& inputs() const;
  // What to write where experts are left out: the config says so.
  std::vector<archive::Input> inputs(const CompressedModel& compressed) const;
  // Of the whole input, as it was given.
  uint64_t input_bytes() const;
  // To be removed when the archive is written.
  const Journal& journal() const;
  // Of the calibration, for others that compress the same model; none without one.
  const std::optional<CalibrationStatistics>& statistics() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The text that calibration reads where a user names none: public-domain English prose.
std::string_view default_calibration_text();

}  // namespace pith::weights
