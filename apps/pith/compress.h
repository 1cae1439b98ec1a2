// pith compress, in two halves: what is to be written where (compress_plan.cc), and saying what
// came of it (compress_report.cc).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "output.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/model/language_model.h"
#include "pith/network/compress_network.h"
#include "pith/recipe/checkpoint_prediction.h"
#include "pith/recipe/registry.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/reduced_model.h"
#include "pith/weights/rotated_model.h"
#include "progress_bar.h"

namespace pith::command {

struct CompressArguments {
  std::vector<std::string> inputs, bases, settings, forms, lossless;
  std::string output, level;
  std::vector<std::string> recipes;  // of which there may be one
  // Limits for models, as they were written; empty: none.
  std::string bits, size, ratio, kl, perplexity, latency;
  std::vector<std::string> frontier;  // several of bits
  std::vector<std::string> choices;   // expressions, "fast" or "gguf"
  std::string forms_of;               // a model whose matrices have the forms that are wanted
  std::string calibration;            // a text, or statistics; empty: the text that Pith comes with
  std::string samples;                // inputs of a network of ONNX; empty: none
  std::string rotate;                 // empty: none
  double smooth = 0;
  uint64_t tokens = 0;  // of calibration; 0: by the size of the model
  int threads = 0;
  bool fast = false, max = false, force = false, keep = false, remove = false, to_stdout = false;
  bool quiet = false, verbose = false, json = false, rebase = false, dry_run = false;
};

enum class Target { kFile, kStdout, kNowhere };

struct CompressPlan {
  std::string label;                  // of the input, for messages
  std::shared_ptr<const void> spool;  // what `inputs` read from, where they do not own it
  std::vector<archive::Input> inputs;
  archive::WriteOptions options;
  const recipe::Recipe* recipe = nullptr;                  // that was named
  std::shared_ptr<const recipe::CheckpointLosses> losses;  // of a lossy recipe, else null
  std::vector<weights::FormCandidate> candidates;          // of a recipe for matrices
  weights::Allocation allocation = {};
  bool calibrated = true;
  weights::CurvatureNeeds curvature = {};
  weights::Refine refine = {};
  std::optional<weights::LeaveOut> leave_out = {};
  weights::Reduce reduce = {};                        // of a recipe that takes parts out
  std::optional<weights::ReducedModel> reduced = {};  // what came of that
  // Where the input is a network of ONNX whose layers are fitted.
  std::optional<network::CompressNetworkOptions> network = {};
  // With the inputs in place of those that were named, after a rotation or a reduction.
  std::optional<weights::ChangedModel> changed = {};
  Target target = Target::kFile;
  std::filesystem::path path;  // of kFile
};

// Writes what the plan says to its target.
archive::WriteReport write_plan(const CompressPlan& plan);

bool has_limits(const CompressArguments& arguments);
// With limits, choices or a recipe for matrices the input is a language model, which is fitted.
bool fits_model(const CompressArguments& arguments, const CompressPlan& plan);

struct StageTime {
  std::string stage;
  double seconds = 0;
};
// A bar for the stage that is under way, and how long each took.
class Stages {
 public:
  explicit Stages(bool quiet) : quiet_(quiet) {}
  Progress begin(const char* stage);
  void end();
  // Since it was asked last.
  std::vector<StageTime> times();

 private:
  bool quiet_;
  std::string stage_;
  std::unique_ptr<ProgressBar> bar_;
  std::vector<StageTime> times_;
};

// What came of a fit, or what is to be expected of one.
struct FittedModel {
  weights::ModelPlan plan;
  std::optional<weights::HeldOut> measured;
  uint64_t input_bytes = 0;
  double seconds = 0;  // since the model was read
  std::vector<StageTime> stages = {};
};

// What --choose names.
std::vector<weights::FormCandidate> chosen_forms(const CompressArguments& arguments);
// Throw kUsage for what is no number above 0.
weights::Limits limits_of(const CompressArguments& arguments);
std::vector<double> frontier_of(const CompressArguments& arguments);  // bits a weight, rising

// A language model whose matrices are fitted. What is done is kept beside the archive until done().
class ModelFit {
 public:
  // Reads the model, calibrates, and measures rates. The plan's inputs are the archive's.
  ModelFit(const CompressArguments& arguments, const CompressPlan& plan);
  ~ModelFit();

  FittedModel expected(const weights::Limits& limits);
  // Has the plan store what was fitted.
  FittedModel fit(const weights::Limits& limits, CompressPlan& plan);
  // The archives are written: nothing is to be gone on with.
  void done() const;

 private:
  void attempt(const std::function<void()>& work);
  FittedModel with(weights::ModelPlan plan) const;

  model::LanguageModel model_;
  std::unique_ptr<Stages> stages_;
  bool began_ = false, goes_on_ = false;  // work, with what a journal has
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::filesystem::path journal_;  // empty: nothing is kept
  std::unique_ptr<weights::ModelCompressor> compressor_;
};

// The layers of a network of ONNX in forms, then the archive.
void compress_network(const CompressArguments& arguments, CompressPlan& plan);
// Has the plan fit a network, if that is what the arguments ask for. Throws kUsage for what does
// not go with it.
void plan_network(const CompressArguments& arguments, const recipe::Plan& by_recipe,
                  CompressPlan& plan);

// For a person, after the archive was written (null: --dry-run).
void report_fit(const CompressArguments& arguments, const FittedModel& fitted,
                const archive::WriteReport* report);
Json to_json(const FittedModel& fitted);

// --frontier: an archive for each size, a table and a plot of what each loses.
void compress_frontier(const CompressArguments& arguments, CompressPlan& plan);

// Throws kUsage for arguments that do not go together.
CompressPlan plan_compress(const CompressArguments& arguments);

// Whether --rotate or --smooth read a text.
bool reads_text(const CompressArguments& arguments);
// --rotate, --smooth: puts the changed model in place of the inputs.
void rotate_inputs(const CompressArguments& arguments, CompressPlan& plan);
// Throws kUsage for what does not go with it.
void check_rotation(const CompressArguments& arguments, const CompressPlan& plan);
// What calibration reads: the text of --calibrate, which here is no statistics, or Pith's own.
std::string calibration_text_of(const CompressArguments& arguments);

// The same for recipes that take parts out of the model.
void reduce_inputs(const CompressArguments& arguments, CompressPlan& plan);
void check_reduction(const CompressArguments& arguments, const CompressPlan& plan);
void report_reduction(const CompressArguments& arguments, const weights::ReducedModel& reduced);

// --rm: removes what the archive holds, file by file, after reading the archive back and comparing
// each file on disk with the hash recorded of it. Files that changed and links stay, with a
// warning.
void remove_inputs(const std::vector<std::string>& inputs,
                   const std::filesystem::path& archive_path, const std::vector<std::string>& bases,
                   int threads, bool quiet);

// fit: what came of it, for --json; null for inputs that were not fitted.
void report_compress(const CompressArguments& arguments, const CompressPlan& plan,
                     const archive::WriteReport& report, const Json& fit = {});

}  // namespace pith::command
