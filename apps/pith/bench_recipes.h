// Pieces of `pith bench recipes`: published methods at equal bytes on one model.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench_dense_model.h"
#include "bench_report.h"
#include "pith/audit/harm.h"
#include "pith/recipe/registry.h"

namespace pith::bench {

struct RecipesOptions {
  std::string model, text, calibration, output;  // calibration empty: the text that Pith comes with
  std::vector<double> sizes;                     // bits a weight, the whole archive counted
  std::vector<std::string> recipes;  // "NAME[:KEY=VALUE]…"; empty: all that have a size
  std::string json, svg;             // files; empty: in the output
  uint64_t tokens = 0;               // of calibration; 0: the usual
  uint64_t windows = 24;
  double risen = 0.5;  // nats
  int threads = 0;
  bool keep_archives = false, quiet = false;
};
void bench_recipes(const RecipesOptions& options);

// Who makes archives at sizes: a recipe with what is given of its options, or Pith's own default.
struct Contestant {
  std::string text;                        // as it was named: "gptq:order=activation"
  const recipe::Recipe* recipe = nullptr;  // null: Pith's default
  recipe::Values given = {};
  std::string refusal = {};  // why it makes no archive of this model at any size; empty: it may
};
inline constexpr const char* kDefault = "pith";
// Pith's default, then what options.recipes names; those that cannot be sized, or find nothing to
// do in the model, with their refusal. Throws ErrorKind::kUsage for names that there are not, and
// such that come twice.
std::vector<Contestant> contestants(const std::vector<std::string>& recipes,
                                    const std::string& model);

// Says how far a stage of the work is.
using Stage = std::function<Progress(const std::string& stage)>;

struct MadeArchive {
  uint64_t bytes = 0;
  std::string setting;    // "bits=3 group=64"; empty: the limit alone decides
  recipe::Values values;  // all that was said to the recipe
  bool by_limit = true;   // the limit was said, too
  double seconds = 0;
};

// Makes archives of a model; calibrates once for all contestants.
class ArchiveMaker {
 public:
  ArchiveMaker(const RecipesOptions& options, const std::filesystem::path& folder, uint64_t weights,
               const std::vector<Contestant>& contestants);
  ~ArchiveMaker();

  Hash128 model_hash() const { return model_hash_; }
  Hash128 calibration_hash() const { return calibration_hash_; }
  const std::string& calibration_text() const { return text_; }
  const model::LanguageModel& model() const { return model_; }

  // Calibrates, and measures what the contestant has to choose from. What takes parts out of the
  // model does so at each of its shares.
  void begin(const Contestant& contestant, const Stage& stage);
  // Of at most so many bits a weight. Throws ErrorKind::kLimit where that cannot be.
  MadeArchive make(double bits, const std::filesystem::path& file);
  // Its archives are measured: nothing is to be gone on with.
  void end();

 private:
  struct Current;
  struct Reduced;
  weights::CompressModelOptions options_of(const recipe::Plan& plan, const std::string& key) const;
  std::unique_ptr<weights::ModelCompressor> compressor(const recipe::Plan& plan,
                                                       const std::string& key);
  void reduce();
  Reduced* best_reduced(const weights::Limits& limits);
  double make_one(uint64_t allowed, const std::filesystem::path& file, MadeArchive& out);

  std::filesystem::path model_path_, folder_;
  uint64_t tokens_, weights_;
  int threads_;
  bool needs_moments_ = false;
  model::LanguageModel model_;
  std::string text_;
  std::optional<weights::CalibrationStatistics> statistics_;
  Hash128 model_hash_, calibration_hash_;
  std::filesystem::path kept_statistics_;
  std::unique_ptr<Current> current_;
};

// A row of results, as it is kept and printed: what was asked for, and what came of it or why
// nothing did.
Json asked_row(const Contestant& contestant, double bits);
void add_made(Json& row, const RecipesOptions& options, const Contestant& contestant,
              const MadeArchive& made, uint64_t weights);
void add_measured(Json& row, const audit::Evaluation& evaluation, const audit::Harm& harm,
                  const audit::HarmOptions& options);

// Tables for people, and the picture.
void report_rows(const RecipesOptions& options, const std::vector<Json>& rows, Report& report);
std::string recipes_svg(const RecipesOptions& options, const std::vector<Json>& rows,
                        std::string& left_out);

}  // namespace pith::bench
