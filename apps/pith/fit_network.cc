// pith compress of a network of ONNX with a recipe or a limit: its layers in forms.
#include <fmt/ranges.h>

#include <algorithm>

#include "compress.h"
#include "memory_use.h"
#include "message.h"
#include "network_inputs.h"
#include "pith/fit/expression_fitter.h"
#include "pith/recipe/network_plan.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

[[noreturn]] void usage(std::string_view text) { fail(ErrorKind::kUsage, "{}", text); }

// Of these each layer gets one where only a limit is said: coded integers are smallest at few bits,
// those of small groups err least at many.
std::vector<network::LayerForm> default_forms() {
  std::vector<network::LayerForm> out;
  const auto add = [&](const std::string& text) {
    const auto e = form::parse(text);
    out.push_back({form::to_string(e), fit::expression_fitter(e)});
  };
  for (const double bits : {1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0}) {
    add(fmt::format("integer(bits={}) > rans", bits));
  }
  for (const int bits : {3, 4, 5, 6, 8}) add(fmt::format("uniform({}, group=32)", bits));
  return out;
}

void check_network(const CompressArguments& a, const CompressPlan& plan) {
  if (!a.kl.empty() || !a.perplexity.empty() || !a.latency.empty() || !a.frontier.empty()) {
    usage(
        "--kl, --perplexity, --latency and --frontier are for language models: a network of ONNX "
        "takes --bits, --size or --ratio");
  }
  if (!a.calibration.empty() || a.tokens > 0) {
    usage("--calibrate and --tokens are for language models: a network of ONNX takes --inputs");
  }
  if (!a.forms_of.empty() || !a.rotate.empty() || a.smooth > 0) {
    usage("--forms-of, --rotate and --smooth are for language models");
  }
  if (!plan.candidates.empty() && !a.choices.empty()) usage("--choose does not go with a recipe");
  if (a.rebase || !a.bases.empty()) usage("limits do not go with --rebase or --base");
  if (a.remove) usage("--rm does not go with limits, which are lossy");
}

network::NetworkLimits network_limits(const CompressArguments& a) {
  const weights::Limits limits = limits_of(a);
  return {.bytes = limits.bytes, .bits = limits.bits, .ratio = limits.ratio};
}

struct FittedNetwork {
  network::CompressedNetwork made;
  bool by_inputs = false;
  double seconds = 0;
  std::vector<StageTime> stages;
};

FittedNetwork fit_network(const CompressArguments& a, CompressPlan& plan) {
  const auto start = std::chrono::steady_clock::now();
  const io::OnnxGraph file = io::read_onnx_graph(a.inputs[0]);
  network::CompressNetworkOptions options = std::move(*plan.network);
  if (!a.samples.empty()) options.inputs = read_inputs(file.inputs, a.samples);
  options.rules = plan.options.forms;
  options.threads = a.threads;
  Stages stages(a.quiet);
  options.progress = [&](const char* stage) { return stages.begin(stage); };
  FittedNetwork out;
  out.by_inputs = !a.samples.empty();
  const network::NetworkCompressor compressor(file, plan.inputs, std::move(options));
  out.made = compressor.compress(network_limits(a));
  compressor.store(out.made, plan.options);
  stages.end();
  out.stages = stages.times();
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

Json to_json(const FittedNetwork& f) {
  Json layers = Json::array();
  for (const network::FittedLayer& l : f.made.layers) {
    layers.push_back({{"name", l.tensor},
                      {"form", l.form},
                      {"bits", l.bits},
                      {"error", std::isnan(l.error) ? Json() : Json(l.error)}});
  }
  Json out = {{"tensors", layers},
              {"left", f.made.left},
              {"bytes", f.made.bytes},
              {"overhead", f.made.overhead},
              {"weights", f.made.weights},
              {"by_inputs", f.by_inputs},
              {"error", f.made.error ? Json(*f.made.error) : Json()}};
  if (!f.made.note.empty()) out["note"] = f.made.note;
  return out;
}

void print_layers(const network::CompressedNetwork& made) {
  Table table({"layer", "form", ">bits/weight", ">error"});
  for (const network::FittedLayer& l : made.layers) {
    table.row({l.tensor, l.form, fmt::format("{:.3f}", l.bits),
               std::isnan(l.error) ? "" : fmt::format("{:.2e}", l.error)});
  }
  std::fputs(table.text().c_str(), stderr);
  for (const std::string& text : made.left) note("as it is: {}", text);
}

void report_network(const CompressArguments& a, const FittedNetwork& f,
                    const archive::WriteReport* written) {
  if (a.json && !written) print_json(to_json(f));
  if (a.quiet) return;
  if (a.verbose || !written) print_layers(f.made);
  const double bytes = written ? static_cast<double>(written->stored) : f.made.bytes;
  note("{:.3f} bits a weight: {} for {} weights, {} of them beside the layers",
       8 * bytes / static_cast<double>(f.made.weights), size_text(static_cast<uint64_t>(bytes)),
       f.made.weights, size_text(f.made.overhead));
  if (!f.made.left.empty() && !a.verbose && written) {
    note("{} as it is (-v says why)", count_text(f.made.left.size(), "layer"));
  }
  if (!f.made.note.empty()) note("{}", f.made.note);
  if (!f.by_inputs) {
    note("without --inputs layers are fitted to their weights alone");
  } else if (f.made.error) {
    note("error of the outputs on these inputs: {:.2e} of their squares (pith eval: on others)",
         *f.made.error);
  }
  for (const StageTime& t : f.stages) {
    if (a.verbose) note("{}: {}", t.stage, time_text(t.seconds));
  }
  note("time: {}, peak memory {}", time_text(f.seconds), size_text(memory_use().peak));
}

}  // namespace

void plan_network(const CompressArguments& a, const recipe::Plan& by_recipe, CompressPlan& plan) {
  const bool is_network = a.inputs.size() == 1 && a.inputs[0].ends_with(".onnx");
  const bool of_models = plan.recipe && recipe::is_for_models(*plan.recipe);
  const bool fitted = has_limits(a) || !a.choices.empty() || !a.forms_of.empty() || of_models;
  if (!a.samples.empty() && !(is_network && fitted)) {
    usage("--inputs belong to a network of ONNX and a recipe or a limit: --recipe gptq, --bits 4");
  }
  if (!is_network || !fitted) return;
  check_network(a, plan);
  recipe::require_network(plan.recipe, by_recipe, a.inputs[0], !a.samples.empty());
  plan.network = recipe::layer_options(by_recipe);
  for (weights::FormCandidate& c : chosen_forms(a)) {
    plan.network->candidates.push_back({c.name, c.fitter, {}, c.check});
  }
  if (!plan.recipe && a.choices.empty()) plan.network->candidates = default_forms();
  // Those of recipes name tensors of language models.
  const auto own = static_cast<std::ptrdiff_t>(by_recipe.write.forms.size());
  plan.options.forms.erase(plan.options.forms.begin(), plan.options.forms.begin() + own);
}

void compress_network(const CompressArguments& a, CompressPlan& plan) {
  const FittedNetwork fitted = fit_network(a, plan);
  if (a.dry_run) return report_network(a, fitted, nullptr);
  ProgressBar bar(plan.label, a.quiet);
  plan.options.progress = bar.callback();
  const archive::WriteReport report = write_plan(plan);
  bar.clear();
  report_compress(a, plan, report, to_json(fitted));
  report_network(a, fitted, &report);
}

}  // namespace pith::command
