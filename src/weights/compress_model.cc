#include <algorithm>

#include "compressor_state.h"
#include "linears.h"
#include "pith/base/error.h"

namespace pith::weights {

using fit::Fitted;
using fit::Task;
using model::LanguageModel;

namespace {

// Results of other versions' fitters are not gone on with; raised with every change of what they
// give.
constexpr std::string_view kFitters = "fitters 2";
// Of which sizes of inputs are kept; the walks that fit see more.
constexpr uint64_t kInputTokens = 2048;
// Of models with more, gradients are made for fewer tokens.
constexpr uint64_t kLarge = 500'000'000;

}  // namespace

void ModelPlan::add(PlannedTensor tensor) {
  bytes += tensor.bits * static_cast<double>(tensor.elements) / 8;
  divergence += tensor.loss;
  tensors.push_back(std::move(tensor));
}

Fitted kept_or_made(Journal& journal, const Hash128& key, const std::function<Fitted()>& make) {
  if (std::optional<Bytes> kept = journal.find(key)) {
    const auto owner = std::make_shared<const Bytes>(std::move(*kept));
    const size_t size = owner->size() - sizeof(double);
    return {form::read(ByteView(*owner).first(size), owner), load_le<double>(owner->data() + size)};
  }
  Fitted made = make();
  if (journal.on()) {
    Bytes bytes = form::write(*made.form);
    bytes.resize(bytes.size() + sizeof(double));
    store_le(bytes.data() + bytes.size() - sizeof(double), made.error);
    journal.keep(key, bytes);
  }
  return made;
}

void ModelCompressor::State::calibrate_model() {
  if (options.statistics) {
    require_model(*options.statistics, model, "the statistics");
    statistics = std::move(options.statistics);
    return;
  }
  const uint64_t gradient_tokens = options.gradient_tokens.value_or(
      tensors.weights() > kLarge ? kGradientTokens / 2 : kGradientTokens);
  const uint64_t some =
      std::clamp<uint64_t>(gradient_tokens / text.length, 1, text.count()) * text.length;
  const std::span<const int32_t> windows = std::span(text.windows).first(some);
  const auto make = [&] {
    return calibrate(model, windows, text.length,
                     {.input_tokens = kInputTokens,
                      .gradient_tokens = gradient_tokens,
                      .gradient_moments = options.curvature.output_moments,
                      .threads = options.threads,
                      .progress = stage(options, "calibrating")});
  };
  if (!journal.on()) {
    statistics = make();
    return;
  }
  const std::filesystem::path kept =
      journal.file(KeyMaker()
                       .add(kFitters)
                       .add(weights_hash(model))
                       .add(ids_hash(windows, text.length))
                       .add(gradient_tokens)
                       .add(uint64_t{options.curvature.output_moments})
                       .key());
  try {
    if (std::filesystem::exists(kept)) statistics = read_statistics(kept);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) throw;  // a damaged one is made again
  }
  if (statistics) return;
  statistics = make();
  write_statistics(*statistics, kept, true);
}

Hash128 ModelCompressor::State::key_of_start() const {
  KeyMaker key;
  key.add(kFitters).add(options.journal_key);
  if (statistics) {
    key.add(statistics->model).add(statistics->text).add(statistics->gradient_tokens);
    key.add(statistics->seed).add(ids_hash(text.windows, text.length));
  } else if (journal.on()) {
    key.add(weights_hash(model));
  }
  return key.key();
}

void ModelCompressor::State::measure_rates() {
  tasks.look(
      [&](const Task& task) {
        if (!options.candidates.empty()) return measure_candidates(task);
        const Hash128 key = KeyMaker().add(start).add("rate").add(task.name).key();
        const std::optional<Bytes> kept = journal.find(key);
        rates.push_back(kept ? Rate(task, *kept) : Rate(fitter, task));
        if (!kept && journal.on()) journal.keep(key, rates.back().write());
      },
      stage(options, "measuring rates"));
}

void ModelCompressor::State::measure_candidates(const Task& task) {
  candidates.measure(task, [&](const FormCandidate& candidate, const Task& of_task) {
    if (!options.allocation.keep) {
      return candidate.trial ? candidate.trial(of_task) : candidate.fitter(of_task);
    }
    const Hash128 key =
        KeyMaker().add(start).add("candidate").add(task.name).add(candidate.name).key();
    return kept_or_made(journal, key, [&] { return candidate.fitter(of_task); });
  });
}

ModelCompressor::ModelCompressor(const LanguageModel& model, std::vector<archive::Input> inputs,
                                 std::string_view text, CompressModelOptions options)
    : state_(std::make_unique<State>(model, std::move(inputs), text, std::move(options))) {}
ModelCompressor::~ModelCompressor() = default;

ModelPlan ModelCompressor::plan(const Limits& limits) const {
  const State& s = *state_;
  if (s.is_choice()) {
    return s.options.candidates.empty() ? s.plan_of(s.step_of(limits))
                                        : s.plan_of(s.choose(limits));
  }
  fail(ErrorKind::kUsage, "what one form will take is known when it is fitted");
}

CompressedModel ModelCompressor::compress(const Limits& limits) {
  State& s = *state_;
  CompressedModel out;
  if (s.is_together()) {
    if (limits.divergence || limits.perplexity || limits.milliseconds) {
      fail(ErrorKind::kUsage, "what is fitted together takes limits on bytes alone");
    }
    out.plan = s.empty_plan();
  } else if (!s.is_choice()) {
    out = s.fit(FormChoice());
    s.require_met(limits, out);
  } else if (s.options.candidates.empty()) {
    out = s.fit_within(limits);
  } else {
    out = s.fit_chosen(limits);
  }
  if (s.options.refine) s.refine(limits, out);
  if (s.leaves_out()) s.leave_out(out);
  if (!out.measured || s.options.refine || s.leaves_out()) out.measured = s.measure(out);
  s.model.release();  // whoever writes the archive reads the files by itself
  return out;
}

void ModelCompressor::store(const CompressedModel& compressed,
                            archive::WriteOptions& options) const {
  options.forms = state_->options.rules;
  options.fitted = state_->tensors.stored_as(compressed.tensors);
}

const std::vector<archive::Input>& ModelCompressor::inputs() const {
  return state_->tensors.inputs();
}
std::vector<archive::Input> ModelCompressor::inputs(const CompressedModel& compressed) const {
  if (compressed.thresholds.empty()) return inputs();
  return with_thresholds(inputs(), compressed.thresholds);
}
uint64_t ModelCompressor::input_bytes() const { return state_->tensors.input_bytes(); }

const Journal& ModelCompressor::journal() const { return state_->journal; }

const std::optional<CalibrationStatistics>& ModelCompressor::statistics() const {
  return state_->statistics;
}

}  // namespace pith::weights