// pith compress with a limit: the matrices of a language model in as few bytes as that says.
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "compress.h"
#include "message.h"
#include "pith/base/file.h"
#include "pith/fit/expression_fitter.h"
#include "pith/model/language_model.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/speed.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::command {

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

// Codes of fixed width, whose products run at the speed of memory.
constexpr const char* kFast[] = {
    "uniform(2, group=16)", "uniform(2, group=32)", "uniform(3, group=32)", "uniform(4, group=32)",
    "uniform(4, group=64)", "uniform(5, group=64)", "uniform(6, group=64)", "uniform(8, group=64)"};
// Types that llama.cpp runs.
constexpr const char* kGguf[] = {"ggml(q2_K)", "ggml(q3_K)", "ggml(q4_K)", "ggml(q5_K)",
                                 "ggml(q6_K)", "ggml(q8_0)", "ggml(q4_0)", "ggml(q5_0)"};

}  // namespace

std::vector<weights::FormCandidate> chosen_forms(const CompressArguments& a) {
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

namespace {

// Of a recipe's candidates, whose names are expressions where they can be timed.
void measure_speeds(std::vector<weights::FormCandidate>& candidates, int threads) {
  for (weights::FormCandidate& c : candidates) {
    try {
      c.nanoseconds = weights::nanoseconds_per_weight(form::parse(c.name), threads);
    } catch (const Error&) {
      fail(ErrorKind::kUsage, "--latency: how fast '{}' is multiplied cannot be measured", c.name);
    }
  }
}

// The forms that the matrices of another model have: of a GGUF file, its types.
std::map<std::string, weights::FormCandidate, std::less<>> forms_of(const std::string& path) {
  const auto source = model::open_weights(path);
  std::map<std::string, weights::FormCandidate, std::less<>> forms;
  for (const std::string& name : source->names()) {
    const form::Expression expression = source->form(name)->expression();
    forms.emplace(name, weights::FormCandidate{form::to_string(expression),
                                               fit::expression_fitter(expression)});
  }
  return forms;
}

}  // namespace

Progress Stages::begin(const char* stage) {
  end();
  bar_ = std::make_unique<ProgressBar>(stage, quiet_, ProgressUnit::kOther);
  stage_ = stage;
  return bar_->callback();
}

void Stages::end() {
  if (bar_) times_.emplace_back(stage_, bar_->seconds());
  bar_.reset();
}

std::vector<StageTime> Stages::times() { return std::exchange(times_, {}); }

bool has_limits(const CompressArguments& a) {
  return !(a.bits.empty() && a.size.empty() && a.ratio.empty() && a.kl.empty() &&
           a.perplexity.empty() && a.latency.empty() && a.frontier.empty());
}

bool fits_model(const CompressArguments& a, const CompressPlan& plan) {
  return has_limits(a) || !a.choices.empty() || !a.forms_of.empty() || !plan.candidates.empty() ||
         plan.refine;
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

std::vector<double> frontier_of(const CompressArguments& a) {
  std::vector<double> bits;
  for (const std::string& text : a.frontier) bits.push_back(number(text, "--frontier"));
  std::ranges::sort(bits);
  if (std::ranges::adjacent_find(bits) != bits.end()) {
    fail(ErrorKind::kUsage, "--frontier: a number comes twice");
  }
  return bits;
}

// Of a frontier the largest: sizes that cannot be are named when they are made.
static weights::Limits widest_of(const CompressArguments& a) {
  if (a.frontier.empty()) return limits_of(a);
  return {.bits = frontier_of(a).back()};
}

ModelFit::ModelFit(const CompressArguments& a, const CompressPlan& plan)
    : model_(plan.changed ? plan.changed->model : model::load_model(a.inputs[0])),
      stages_(std::make_unique<Stages>(a.quiet)) {
  weights::CompressModelOptions options;
  options.calibrated = !a.fast && plan.calibrated;
  options.candidates = a.choices.empty() ? plan.candidates : chosen_forms(a);
  options.curvature = plan.curvature;
  options.refine = plan.refine;
  options.leave_out = plan.leave_out;
  options.allocation = plan.allocation;
  if (a.choices.empty() && !a.latency.empty()) measure_speeds(options.candidates, a.threads);
  if (!a.forms_of.empty()) {
    const bool other = has_limits(a) || !options.candidates.empty();
    if (other)
      fail(ErrorKind::kUsage, "--forms-of says what every matrix gets, and leaves no choice");
    options.forms = forms_of(a.forms_of);
  }
  if (options.candidates.size() > 1 && !has_limits(a) && !options.allocation.has_limit) {
    fail(ErrorKind::kUsage, "several forms to choose from need a limit, as --bits 4");
  }
  if (options.candidates.size() == 1 && !a.frontier.empty()) {
    fail(ErrorKind::kUsage, "--frontier: one form alone has one size");
  }
  if (a.tokens > 0) options.size.tokens = a.tokens;
  options.rules = plan.options.forms;
  if (has_limits(a)) options.within = widest_of(a);
  if (plan.changed) options.input_size = {plan.changed->weights, plan.changed->bytes};
  options.threads = a.threads;
  options.progress = [this](const char* stage) {
    // Not before all that can be refused was.
    if (!std::exchange(began_, true) && goes_on_) {
      note("{}: going on with what an earlier run did", journal_.string());
    }
    return stages_->begin(stage);
  };
  if (plan.target == Target::kFile) {
    journal_ = plan.path.string() + ".journal";
    options.journal = journal_;
    options.journal_key =
        fmt::format("{} {}", fmt::join(a.recipes, " "), fmt::join(a.settings, " "));
    goes_on_ = !a.quiet && std::filesystem::exists(journal_);
  }
  std::string text(weights::default_calibration_text());
  if (!a.calibration.empty()) {
    const MappedFile file(a.calibration);
    if (archive::Archive::is_archive(file.bytes())) {
      options.statistics = weights::read_statistics(a.calibration);
    } else {
      text.assign(file.bytes().begin(), file.bytes().end());
    }
  }
  attempt([&] {
    compressor_ =
        std::make_unique<weights::ModelCompressor>(model_, plan.inputs, text, std::move(options));
  });
}

ModelFit::~ModelFit() = default;

// Says where an interrupted run goes on.
void ModelFit::attempt(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    stages_->end();
    if (began_ && !journal_.empty() && std::filesystem::exists(journal_)) {
      note("{} keeps what was done: the same command goes on from there", journal_.string());
    }
    throw;
  }
}

FittedModel ModelFit::with(weights::ModelPlan plan) const {
  return {
      .plan = std::move(plan),
      .measured = std::nullopt,
      .input_bytes = compressor_->input_bytes(),
      .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()};
}

FittedModel ModelFit::expected(const weights::Limits& limits) {
  return with(compressor_->plan(limits));
}

FittedModel ModelFit::fit(const weights::Limits& limits, CompressPlan& plan) {
  weights::CompressedModel made;
  attempt([&] { made = compressor_->compress(limits); });
  stages_->end();
  plan.inputs = compressor_->inputs(made);
  compressor_->store(made, plan.options);
  FittedModel out = with(std::move(made.plan));
  out.stages = stages_->times();
  out.measured = made.measured;
  return out;
}

void ModelFit::done() const { compressor_->journal().remove(); }

}  // namespace pith::command
