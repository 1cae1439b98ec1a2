// pith calibrate: what a text tells about a model's weights, kept for compress.
#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "pith/base/file.h"
#include "pith/weights/calibration_statistics.h"
#include "pith/weights/compress_model.h"
#include "progress_bar.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

struct CalibrateArguments {
  std::string model, text, output;
  uint64_t tokens = 16384, gradient_tokens = 8192, window = 512, seed = 1;
  int threads = 0;
  bool moments = false, force = false, quiet = false, verbose = false;
};

// What is known of each layer as a whole: of its inputs, and of where its heads look.
Table layer_table(const weights::CalibrationStatistics& s) {
  Table table(
      {">layer", ">bits of a value", ">bits of attention", ">first", ">latest 32", ">back"});
  for (size_t l = 0; l < s.attention.size(); ++l) {
    model::HeadAttention mean;
    const auto heads = static_cast<double>(s.attention[l].size());
    for (const model::HeadAttention& h : s.attention[l]) {
      mean.entropy += h.entropy / heads;
      mean.first += h.first / heads;
      mean.recent += h.recent / heads;
      mean.distance += h.distance / heads;
    }
    table.row({std::to_string(l), fmt::format("{:.2f}", s.entropies[l]),
               fmt::format("{:.2f}", mean.entropy), fmt::format("{:.1f}%", 100 * mean.first),
               fmt::format("{:.1f}%", 100 * mean.recent), fmt::format("{:.0f}", mean.distance)});
  }
  return table;
}

void run(const CalibrateArguments& a) {
  const std::filesystem::path target = output_path(a.output, a.force);
  const model::LanguageModel model = model::load_model(a.model);
  std::string text(weights::default_calibration_text());
  if (!a.text.empty()) {
    const MappedFile file(a.text);
    text.assign(file.bytes().begin(), file.bytes().end());
  }
  const weights::CalibrationText windows =
      weights::calibration_text(model, text, {.tokens = a.tokens, .window = a.window});
  ProgressBar bar(a.model, a.quiet, ProgressUnit::kOther);
  const weights::CalibrationStatistics made =
      weights::calibrate(model, windows.windows, windows.length,
                         {.gradient_tokens = a.gradient_tokens,
                          .seed = a.seed,
                          .input_moments = a.moments,
                          .threads = a.threads,
                          .progress = bar.callback()});
  weights::write_statistics(made, target, a.force);
  bar.clear();
  if (a.verbose) std::fputs(layer_table(made).text().c_str(), stderr);
  if (a.quiet) return;
  note("{} : {} tokens in windows of {}, gradients of {}; {}, {}", a.model, made.tokens,
       made.window, made.gradient_tokens, target.string(), time_text(bar.seconds()));
}

constexpr const char* kExamples =
    R"(Kept are, for each weight, how large its inputs are and how much an error of its outputs matters: the second
moment of the gradient there, for targets drawn from the model itself (docs/calibration.md). The last tenth of the
text is not read. compress --calibrate takes the file for the model that it was made of, and no other.

Examples:
  pith calibrate model -o model.stats.pith                          with the text that Pith comes with
  pith calibrate model --text book.txt -o book.stats.pith           with one's own
  pith compress model --bits 4 --calibrate book.stats.pith)";

}  // namespace

void add_calibrate(CLI::App& app) {
  auto a = std::make_shared<CalibrateArguments>();
  CLI::App* c = app.add_subcommand("calibrate", "Learn from a text what a model's weights matter");
  c->add_option("model", a->model, "a folder with config.json and safetensors, or a GGUF file")
      ->type_name("MODEL")
      ->required();
  c->add_option("-o,--output", a->output, "the statistics")->type_name("OUT.pith")->required();
  c->add_option("--text", a->text, "what the model is to be good at; default: English prose")
      ->type_name("FILE");
  const auto number = [&](const char* names, uint64_t& value, const char* help) {
    c->add_option(names, value, help)->type_name("N")->check(not_negative())->capture_default_str();
  };
  number("--tokens", a->tokens, "that are read");
  number("--gradient-tokens", a->gradient_tokens, "that gradients are made for; 0: none");
  number("--window", a->window, "tokens that are read together");
  number("--seed", a->seed, "of the targets that are drawn");
  c->add_flag("--moments", a->moments, "keep how inputs go together: large (see docs)");
  add_threads(c, a->threads);
  c->add_flag("-f,--force", a->force, "overwrite the output");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("-v,--verbose", a->verbose, "a table of the layers: values, and where heads look");
  c->footer(kExamples);
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
