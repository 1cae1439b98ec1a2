// pith compress, in two halves: what is to be written where (compress_plan.cc), and saying what
// came of it (compress_report.cc).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/recipe/checkpoint_prediction.h"
#include "pith/weights/compress_model.h"

namespace pith::command {

struct CompressArguments {
  std::vector<std::string> inputs, bases, settings, forms, lossless;
  std::string output, level, recipe;
  // Limits for models, as they were written; empty: none.
  std::string bits, size, ratio, kl, perplexity, latency;
  std::vector<std::string> choices;  // expressions, "fast" or "gguf"
  std::string calibration;           // a text, or statistics; empty: the text that Pith comes with
  uint64_t tokens = 0;               // of calibration; 0: by the size of the model
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
  std::shared_ptr<const recipe::CheckpointLosses> losses;  // of a lossy recipe, else null
  std::vector<weights::FormCandidate> candidates;          // of a recipe for matrices
  bool calibrated = true;
  Target target = Target::kFile;
  std::filesystem::path path;  // of kFile
};

bool has_limits(const CompressArguments& arguments);
// With limits, choices or a recipe for matrices the input is a language model, which is fitted.
bool fits_model(const CompressArguments& arguments, const CompressPlan& plan);

// Fits the model's matrices within the limits, and has the plan store them. What came of it is
// said by the second, after the archive was written (null: --dry-run).
struct FittedModel;
std::shared_ptr<FittedModel> fit_model(const CompressArguments& arguments, CompressPlan& plan);
void report_fit(const CompressArguments& arguments, const FittedModel& fitted,
                const archive::WriteReport* report);

// Throws kUsage for arguments that do not go together.
CompressPlan plan_compress(const CompressArguments& arguments);

// --rm: removes what the archive holds, file by file, after reading the archive back and comparing
// each file on disk with the hash recorded of it. Files that changed and links stay, with a
// warning.
void remove_inputs(const std::vector<std::string>& inputs,
                   const std::filesystem::path& archive_path, const std::vector<std::string>& bases,
                   int threads, bool quiet);

void report_compress(const CompressArguments& arguments, const CompressPlan& plan,
                     const archive::WriteReport& report);

}  // namespace pith::command
