#include "bench_weights_gguf.h"

#include <fmt/ranges.h>
#include <fnmatch.h>

#include "bench_data.h"
#include "bench_dense_model.h"
#include "bench_weights_peer.h"
#include "pith/archive/writer.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/fit/expression_fitter.h"
#include "pith/io/text.h"
#include "pith/model/export_gguf.h"
#include "pith/model/prompt.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/rotated_model.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

// Mixes all of whose types are fitted with feedback.
constexpr const char* kMixes[] = {"Q8_0",   "Q6_K",   "Q5_K_M", "Q5_0",   "Q4_K_M", "Q4_K_S",
                                  "IQ4_XS", "IQ4_NL", "Q4_0",   "Q3_K_M", "Q3_K_S", "Q2_K"};
constexpr const char* kTexts[] = {"books-test", "wikitext2-test"};
constexpr uint64_t kPredictions = 512;
// What `--smooth` is here: inputs are rounded to 8 bits, by both programs.
constexpr double kSmooth = 0.5;

// Both files of one mix.
struct Pair {
  std::string mix;
  fs::path peer, own;
};

class GgufBench {
 public:
  GgufBench(const Options& options, const WeightInputs& inputs, uint64_t importance_windows,
            fs::path folder, Report& report)
      : options_(options),
        inputs_(inputs),
        folder_(std::move(folder)),
        report_(report),
        peer_(inputs, importance_windows, folder_ / "llama.cpp"),
        calibration_(inputs.calibration),
        changed_(weights::rotated_model(
            inputs.model, archive::expand_inputs(std::span(&inputs.bare, 1)),
            io::as_text(calibration_.bytes()),
            {.by = weights::RotateBy::kNothing, .smooth = kSmooth, .progress = {}})),
        model_(changed_.model),
        text_(weights::calibration_text(model_, io::as_text(calibration_.bytes()))),
        dense_(inputs.model, options.windows) {}

  void run() {
    fs::create_directories(folder_ / "gguf");
    for (const char* mix : kMixes) {
      if (fnmatch(options_.files.c_str(), mix, 0) != 0) continue;
      report_.status(fmt::format("GGUF of the same types: {}", mix));
      try {
        pairs_.push_back({mix, peer_.make({mix, true, false}), {}});
        pairs_.back().own = fitted(pairs_.back());
      } catch (const Error& e) {
        report_.note(fmt::format("{}: {}", mix, e.what()));
        if (!pairs_.empty() && pairs_.back().own.empty()) pairs_.pop_back();
      }
    }
    for (const char* name : kTexts) measure(name);
  }

 private:
  // What `pith compress --forms-of --smooth` and `pith export` give.
  fs::path fitted(const Pair& pair) {
    const auto source = model::open_weights(pair.peer);
    weights::CompressModelOptions options;
    for (const std::string& name : source->names()) {
      const form::Expression e = source->form(name)->expression();
      options.forms[name] = {form::to_string(e), fit::expression_fitter(e)};
    }
    options.statistics = statistics();
    weights::ModelCompressor compressor(model_, changed_.inputs, io::as_text(calibration_.bytes()),
                                        std::move(options));
    archive::WriteOptions write{.overwrite = true};
    compressor.store(compressor.compress({}), write);
    const fs::path archive = folder_ / "gguf" / (pair.mix + ".pith");
    archive::write_archive(changed_.inputs, archive, write);
    fs::path file = folder_ / "gguf" / (pair.mix + ".gguf");
    model::export_gguf(archive, file, {.threads = 0, .overwrite = true});
    return file;
  }

  const weights::CalibrationStatistics& statistics() {
    if (!statistics_) {
      const uint64_t windows =
          std::clamp<uint64_t>(weights::kGradientTokens / text_.length, 1, text_.count());
      statistics_ =
          weights::calibrate(model_, std::span(text_.windows).first(windows * text_.length),
                             text_.length, {.gradient_tokens = weights::kGradientTokens});
    }
    return *statistics_;
  }

  // Windows of the text for llama.cpp, bos in front of each.
  fs::path ids_file(const std::string& name, std::span<const int32_t> all) const {
    std::vector<int32_t> ids;
    for (uint64_t w = 0; w < std::min(options_.windows, all.size() / kPredictions); ++w) {
      ids.push_back(model_.tokenizer()->bos().value_or(0));
      const auto from = all.begin() + static_cast<ptrdiff_t>(w * kPredictions);
      ids.insert(ids.end(), from, from + kPredictions);
    }
    fs::path path = folder_ / "gguf" / (name + ".ids");
    write_file(path, as_bytes(fmt::format("{}\n", fmt::join(ids, " "))), true);
    return path;
  }

  void measure(const std::string& text) {
    if (pairs_.empty()) return;
    report_.section(fmt::format("GGUF files of the same types: {}", text));
    report_.note(
        fmt::format("KL from the model in f32; {} windows of {} predictions, bos in front of each; "
                    "llama.cpp's files with its importance matrix, pith's by pith compress "
                    "--forms-of --smooth {} and pith export, both run by llama.cpp, and pith's by "
                    "pith run",
                    options_.windows, kPredictions, kSmooth));
    const MappedFile file(shared_data() / "text" / (text + ".txt"));
    const std::vector<int32_t> tokens = dense_.ids(io::as_text(file.bytes()));
    const fs::path ids = ids_file(text, tokens), plain = folder_ / "gguf/f32.gguf",
                   logits = folder_ / "gguf/logits.f32";
    if (!fs::exists(plain)) {
      model::export_gguf(inputs_.bare, plain, {.type = DType::kF32, .threads = 0});
    }
    PeerRun run{.ids = ids, .context = kPredictions + 1};
    run.save = logits;
    peer_score(plain, run);
    run.save.clear();
    run.reference = logits;
    Table table({"types", "llama.cpp bytes", "pith bytes", "llama.cpp KL", "pith KL",
                 "KL, pith to llama.cpp", "pith KL, run by pith",
                 "that to llama.cpp's by llama.cpp", "llama.cpp perplexity", "pith perplexity",
                 "llama.cpp same top %", "pith same top %"});
    for (const Pair& p : pairs_) {
      report_.status(fmt::format("llama.cpp runs {}", p.mix));
      const PeerScore theirs = peer_score(p.peer, run), ours = peer_score(p.own, run);
      const double here = dense_.compare(model::load_model(p.own), tokens).divergence->kl.mean;
      table.add({bench::text(p.mix),
                 count(fs::file_size(p.peer)),
                 count(fs::file_size(p.own)),
                 {fmt::format("{:.3g}", theirs.kl), theirs.kl},
                 {fmt::format("{:.3g}", ours.kl), ours.kl},
                 number(ours.kl / theirs.kl, 3),
                 {fmt::format("{:.3g}", here), here},
                 number(here / theirs.kl, 3),
                 number(theirs.perplexity, 3),
                 number(ours.perplexity, 3),
                 number(100 * theirs.same_best, 2),
                 number(100 * ours.same_best, 2)});
    }
    fs::remove(logits);
    report_.table(table);
  }

  const Options& options_;
  const WeightInputs& inputs_;
  fs::path folder_;
  Report& report_;
  PeerQuantizer peer_;
  MappedFile calibration_;
  weights::ChangedModel changed_;
  const model::LanguageModel& model_;
  weights::CalibrationText text_;
  DenseModel dense_;
  std::optional<weights::CalibrationStatistics> statistics_;
  std::vector<Pair> pairs_;
};

}  // namespace

void bench_gguf(const Options& options, const WeightInputs& inputs, uint64_t importance_windows,
                const fs::path& folder, Report& report) {
  GgufBench(options, inputs, importance_windows, folder, report).run();
}

}  // namespace pith::bench
