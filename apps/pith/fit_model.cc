// pith compress with a limit: the matrices of a language model in as few bytes as that says.
#include <charconv>
#include <chrono>
#include <cmath>

#include "compress.h"
#include "memory_use.h"
#include "message.h"
#include "output.h"
#include "pith/base/file.h"
#include "pith/fit/expression_fitter.h"
#include "pith/model/language_model.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/speed.h"
#include "progress_bar.h"
#include "table.h"
#include "units.h"

namespace pith::command {

struct FittedModel {
  weights::ModelPlan plan;
  std::optional<weights::HeldOut> measured;
  uint64_t input_bytes = 0;
  bool calibrated = true;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

namespace {

// A number above 0, with or without '%'.
double number(std::string_view text, std::string_view option, bool shares = false) {
  std::string_view digits = text;
  const bool percent = shares && digits.ends_with('%');
  if (percent) digits.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (!whole || !(value > 0) || std::isinf(value)) {
    fail(ErrorKind::kUsage, "{}: '{}' is no number above 0", option, text);
  }
  return percent ? value / 100 : value;
}

weights::Limits limits_of(const CompressArguments& a) {
  weights::Limits limits;
  if (!a.bits.empty()) limits.bits = number(a.bits, "--bits");
  if (!a.size.empty()) limits.bytes = parse_size(a.size, "--size");
  if (!a.ratio.empty()) limits.ratio = number(a.ratio, "--ratio");
  if (!a.kl.empty()) limits.divergence = number(a.kl, "--kl");
  if (!a.latency.empty()) limits.milliseconds = number(a.latency, "--latency");
  if (!a.perplexity.empty()) limits.perplexity = number(a.perplexity, "--perplexity", true);
  return limits;
}

// Codes of fixed width, whose products run at the speed of memory.
constexpr const char* kFast[] = {
    "uniform(2, group=16)", "uniform(2, group=32)", "uniform(3, group=32)", "uniform(4, group=32)",
    "uniform(4, group=64)", "uniform(5, group=64)", "uniform(6, group=64)", "uniform(8, group=64)"};
// Types that llama.cpp runs.
constexpr const char* kGguf[] = {"ggml(q2_K)", "ggml(q3_K)", "ggml(q4_K)", "ggml(q5_K)",
                                 "ggml(q6_K)", "ggml(q8_0)", "ggml(q4_0)", "ggml(q5_0)"};

std::vector<weights::FormCandidate> candidates_of(const CompressArguments& a) {
  std::vector<std::string> texts;
  for (const std::string& choice : a.choices) {
    if (choice == "fast") {
      texts.insert(texts.end(), std::begin(kFast), std::end(kFast));
    } else if (choice == "gguf") {
      texts.insert(texts.end(), std::begin(kGguf), std::end(kGguf));
    } else {
      texts.push_back(choice);
    }
  }
  std::vector<weights::FormCandidate> out;
  for (const std::string& text : texts) {
    const form::Expression expression = form::parse(text);
    out.push_back({form::to_string(expression), fit::expression_fitter(expression)});
    if (a.latency.empty()) continue;
    out.back().nanoseconds = weights::nanoseconds_per_weight(expression, a.threads);
  }
  return out;
}

// A bar for the stage that is under way.
class Stages {
 public:
  explicit Stages(bool quiet) : quiet_(quiet) {}
  Progress begin(const char* stage) {
    bar_.reset();
    bar_ = std::make_unique<ProgressBar>(stage, quiet_, ProgressUnit::kOther);
    return bar_->callback();
  }

 private:
  bool quiet_;
  std::unique_ptr<ProgressBar> bar_;
};

std::string bits_of(double bits) { return fmt::format("{:.3f}", bits); }

}  // namespace

bool has_limits(const CompressArguments& a) {
  return !(a.bits.empty() && a.size.empty() && a.ratio.empty() && a.kl.empty() &&
           a.perplexity.empty() && a.latency.empty());
}

bool fits_model(const CompressArguments& a, const CompressPlan& plan) {
  return has_limits(a) || !a.choices.empty() || !plan.candidates.empty();
}

std::shared_ptr<FittedModel> fit_model(const CompressArguments& a, CompressPlan& plan) {
  auto fitted = std::make_shared<FittedModel>();
  const weights::Limits limits = limits_of(a);
  const model::LanguageModel model = model::load_model(a.inputs[0]);
  Stages stages(a.quiet);
  weights::CompressModelOptions options;
  options.calibrated = !a.fast && plan.calibrated;
  options.candidates = a.choices.empty() ? plan.candidates : candidates_of(a);
  if (options.candidates.size() > 1 && !has_limits(a)) {
    fail(ErrorKind::kUsage, "several forms to choose from need a limit, as --bits 4");
  }
  if (a.tokens > 0) options.size.tokens = a.tokens;
  options.rules = plan.options.forms;
  options.threads = a.threads;
  options.progress = [&](const char* stage) { return stages.begin(stage); };
  std::string text(weights::default_calibration_text());
  if (!a.calibration.empty()) {
    const MappedFile file(a.calibration);
    if (archive::Archive::is_archive(file.bytes())) {
      options.statistics = weights::read_statistics(a.calibration);
    } else {
      text.assign(file.bytes().begin(), file.bytes().end());
    }
  }
  weights::ModelCompressor compressor(model, plan.inputs, text, std::move(options));
  fitted->input_bytes = compressor.input_bytes();
  fitted->calibrated = !a.fast && plan.calibrated;
  if (a.dry_run) {
    fitted->plan = compressor.plan(limits);
    return fitted;
  }
  weights::CompressedModel made = compressor.compress(limits);
  compressor.store(made, plan.options);
  fitted->plan = std::move(made.plan);
  fitted->measured = made.measured;
  return fitted;
}

void report_fit(const CompressArguments& a, const FittedModel& f,
                const archive::WriteReport* report) {
  const weights::ModelPlan& p = f.plan;
  const double bytes = report ? static_cast<double>(report->stored) : p.bytes;
  if (a.json && !report) {
    Json tensors = Json::array();
    for (const weights::PlannedTensor& t : p.tensors) {
      tensors.push_back({{"name", t.name}, {"form", t.form}, {"bits", t.bits}, {"loss", t.loss}});
    }
    print_json({{"tensors", tensors},
                {"bytes", p.bytes},
                {"overhead", p.overhead},
                {"weights", p.weights},
                {"divergence", p.divergence}});
  }
  if (a.quiet) return;
  if (a.verbose || !report) {
    Table table({"tensor", "form", ">bits/weight", ">loss"});
    for (const weights::PlannedTensor& t : p.tensors) {
      table.row({t.name, t.form, bits_of(t.bits), fmt::format("{:.2e}", t.loss)});
    }
    std::fputs(table.text().c_str(), stderr);
  }
  note("{} bits a weight: {} for {} weights, {} of them beside the matrices",
       bits_of(8 * bytes / static_cast<double>(p.weights)), size_text(static_cast<uint64_t>(bytes)),
       p.weights, size_text(p.overhead));
  if (f.calibrated) note("divergence to expect: {:.5f} nats a token", p.divergence);
  if (f.measured) {
    note(
        "on {} tokens that no fit has seen: divergence {:.5f}, perplexity {:.3f} (it was {:.3f}), "
        "same best token {:.2f}%",
        f.measured->tokens, f.measured->divergence, f.measured->perplexity,
        f.measured->perplexity_before, 100 * f.measured->same_best);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - f.begin).count();
  note("time: {}, peak memory {}", time_text(seconds), size_text(memory_use().peak));
}

}  // namespace pith::command
