#include "pith/weights/compress_model.h"

#include <algorithm>
#include <cmath>

#include "candidates.h"
#include "importance.h"
#include "linears.h"
#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/base/parallel.h"
#include "pith/model/session.h"
#include "pith/weights/layer_walk.h"
#include "rates.h"

namespace pith::weights {

using fit::Metric;
using form::FormPtr;
using form::Matrix;
using model::LanguageModel;

namespace {

constexpr std::string_view kEmbedding = "model.embed_tokens.weight";

Progress stage(const CompressModelOptions& options, const char* name) {
  return options.progress ? options.progress(name) : Progress();
}

// Of several files with the same tensors, the model's.
bool is_model_file(const std::filesystem::path& path) {
  return path.filename().string().starts_with("model");
}

// Windows of held-out text that are measured.
constexpr uint64_t kHeldOutWindows = 16;

// The model with other forms for some weights.
LanguageModel with_weights(const LanguageModel& model,
                           const std::map<std::string, FormPtr, std::less<>>& tensors) {
  LanguageModel::Parts parts{.config = model.config(),
                             .weights = model.weights(),
                             .tokenizer = std::nullopt,
                             .tokenizer_error = {},
                             .where = model.where(),
                             .weight_bytes = 0};
  const auto replace = [&](std::string_view name, FormPtr& form) {
    const auto found = tensors.find(name);
    if (found != tensors.end()) form = found->second;
  };
  model::DecoderWeights& w = parts.weights;
  replace(kEmbedding, w.embedding);
  for (model::DecoderLayer& layer : w.layers) {
    for (model::Linear* l : linears(layer)) replace(l->name, l->weight);
  }
  replace(w.head.name, w.head.weight);
  return LanguageModel(std::move(parts));
}

// A form in place of a fitted one, of next to no bytes.
FormPtr placeholder(form::Shape shape) {
  const Matrix zeros(shape);
  return form::encode(form::parse("constant"), zeros.view());
}

}  // namespace

struct ModelCompressor::State {
  State(const LanguageModel& m, std::vector<archive::Input> in, std::string_view calibration,
        CompressModelOptions o)
      : model(m),
        inputs(std::move(in)),
        options(std::move(o)),
        rules(options.rules),
        fitter({.step = 1}),
        candidates(options.candidates) {
    find_tensors();
    if (options.calibrated) {
      text = calibration_text(model, calibration, options.size);
      calibrate_model();
    }
    if (options.candidates.size() != 1) measure_rates();
    measure_overhead();
  }

  void find_tensors();
  void calibrate_model();
  void measure_rates();
  void measure_overhead();

  bool fits(std::string_view name) const { return regions.contains(name); }

  // Visits what is to be fitted with a task; `only_look` as in WalkOptions.
  using TaskVisitor = std::function<FormPtr(const fit::Task&)>;
  void visit(const TaskVisitor& visitor, bool only_look, const Progress& progress);

  uint64_t limit_of_bytes(const Limits& limits) const;
  [[noreturn]] void refuse(uint64_t most, double smallest) const;
  static double expected_loss(const Limits& limits);
  double step_of(const Limits& limits) const;
  ModelPlan plan_of(double step) const;
  ModelPlan plan_of(const std::vector<CandidateTable::Chosen>& chosen) const;
  std::vector<CandidateTable::Chosen> choose(const Limits& limits) const;
  CompressedModel fit(std::optional<double> room, double step);
  CompressedModel fit(const std::vector<CandidateTable::Chosen>& chosen);
  CompressedModel fit_within(const Limits& limits);
  HeldOut measure(const CompressedModel& compressed) const;

  const LanguageModel& model;
  std::vector<archive::Input> inputs;
  CompressModelOptions options;
  archive::FormRules rules;
  CalibrationText text;
  std::optional<CalibrationStatistics> statistics;
  Metric head_inputs;
  fit::WaterFilling fitter;
  std::vector<Rate> rates;    // of integers
  CandidateTable candidates;  // of others
  // Of the tensors that are fitted: the file in the archive.
  struct Region {
    std::string path;
    uint64_t elements = 0;
  };
  std::map<std::string, Region, std::less<>> regions;
  uint64_t overhead = 0, weights = 0, input_bytes = 0;
};

// The matrices of the model that the inputs hold and no rule takes.
void ModelCompressor::State::find_tensors() {
  std::map<std::string, form::Shape, std::less<>> matrices;
  const model::DecoderWeights& w = model.weights();
  matrices.emplace(kEmbedding, w.embedding->shape());
  const auto add = [&](const model::Linear& l) { matrices.emplace(l.name, l.weight->shape()); };
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) add(*l);
  }
  if (!model.config().tied_embeddings) add(w.head);
  for (const archive::Input& input : inputs) {
    if (!input.source) continue;
    input_bytes += input.source->size().value_or(0);
    for (const io::TensorRegion& region : input.source->layout().tensors) {
      const auto found = matrices.find(region.name);
      if (has_float_elements(region.dtype)) weights += archive::matrix_shape(region).size();
      if (found == matrices.end() || !has_float_elements(region.dtype)) continue;
      if (archive::matrix_shape(region) != found->second || rules.rule(region)) continue;
      const auto [at, is_new] = regions.try_emplace(region.name);
      if (is_new || is_model_file(input.path)) at->second = {input.path, found->second.size()};
    }
  }
  if (regions.empty()) {
    fail(ErrorKind::kUsage, "{}: there are no matrices of the model to fit{}", model.where(),
         options.rules.empty() ? "" : " but those that other options decide");
  }
}

void ModelCompressor::State::calibrate_model() {
  if (options.statistics) {
    require_model(*options.statistics, model, "the statistics");
    statistics = std::move(options.statistics);
    return;
  }
  const uint64_t some =
      std::clamp<uint64_t>(options.gradient_tokens / text.length, 1, text.count()) * text.length;
  statistics = calibrate(model, std::span(text.windows).first(some), text.length,
                         {.gradient_tokens = options.gradient_tokens,
                          .threads = options.threads,
                          .progress = stage(options, "calibrating")});
}

void ModelCompressor::State::visit(const TaskVisitor& visitor, bool only_look,
                                   const Progress& progress) {
  const Importance importance(statistics ? &*statistics : nullptr);
  const bool tied = model.config().tied_embeddings;
  const auto visit_one = [&](std::string_view name, const FormPtr& weight,
                             const Metric& metric) -> FormPtr {
    if (!fits(name)) return nullptr;
    const Matrix matrix = form::decode(*weight);
    Importance::Rows rows;
    if (name == kEmbedding) {
      rows = importance.embedding(matrix.view(), tied, metric);
    } else {
      rows = {metric, importance.outputs(name, matrix.view())};
    }
    return visitor({.name = name,
                    .weights = matrix.view(),
                    .inputs = rows.metric,
                    .outputs = rows.outputs,
                    .threads = options.threads});
  };
  if (!options.calibrated) {
    const Metric nothing;
    uint64_t done = 0;
    const auto each = [&](const std::string& name, const FormPtr& weight) {
      visit_one(name, weight, nothing);
      report(progress, done += weight->shape().size(), weights);
    };
    const model::DecoderWeights& w = model.weights();
    each(std::string(kEmbedding), w.embedding);
    for (const model::DecoderLayer& layer : w.layers) {
      for (const model::Linear* l : linears(layer)) each(l->name, l->weight);
    }
    if (!tied) each(w.head.name, w.head.weight);
    return;
  }
  walk_layers(model, text,
              [&](const Visit& v) -> FormPtr {
                // What the head sees is only known at the end, the embedding is needed at once.
                if (v.role == Role::kHead && only_look) head_inputs = v.inputs;
                if (v.role == Role::kHead && tied) {
                  return only_look ? visit_one(kEmbedding, v.weight, v.inputs) : nullptr;
                }
                if (v.role != Role::kEmbedding) return visit_one(v.name, v.weight, v.inputs);
                return only_look && tied ? nullptr : visit_one(v.name, v.weight, head_inputs);
              },
              {.threads = options.threads, .only_look = only_look, .progress = progress});
}

void ModelCompressor::State::measure_rates() {
  visit(
      [&](const fit::Task& task) -> FormPtr {
        if (options.candidates.empty()) {
          rates.emplace_back(fitter, task);
        } else {
          candidates.measure(task);
        }
        return nullptr;
      },
      true, stage(options, "measuring rates"));
}

void ModelCompressor::State::measure_overhead() {
  archive::WriteOptions write;
  write.threads = options.threads;
  write.forms = options.rules;
  uint64_t taken = 0;
  write.fitted = [&](std::string_view path, const io::TensorRegion& region) -> FormPtr {
    const auto found = regions.find(region.name);
    if (found == regions.end() || found->second.path != path) return nullptr;
    FormPtr form = placeholder(archive::matrix_shape(region));
    taken += form::bits(*form) / 8;
    return form;
  };
  const uint64_t stored = archive::write_archive(
                              inputs, [](ByteView) {}, write)
                              .stored;
  // Frames begin at multiples of 64 bytes.
  overhead = stored - taken + 64 * regions.size();
}

ModelPlan ModelCompressor::State::plan_of(double step) const {
  ModelPlan plan;
  plan.overhead = overhead;
  plan.weights = weights;
  plan.bytes = static_cast<double>(overhead);
  for (const Rate& r : rates) {
    const double bytes = r.bytes(step), loss = r.loss(step);
    plan.tensors.push_back({.name = r.name(),
                            .form = "integer > rans",
                            .elements = r.elements(),
                            .bits = 8 * bytes / static_cast<double>(r.elements()),
                            .loss = loss});
    plan.bytes += bytes;
    plan.divergence += loss;
  }
  return plan;
}

ModelPlan ModelCompressor::State::plan_of(const std::vector<CandidateTable::Chosen>& chosen) const {
  ModelPlan plan;
  plan.overhead = overhead;
  plan.weights = weights;
  plan.bytes = static_cast<double>(overhead);
  for (size_t i = 0; i < chosen.size(); ++i) {
    const uint64_t elements = regions.at(candidates.names()[i]).elements;
    plan.tensors.push_back({.name = candidates.names()[i],
                            .form = chosen[i].candidate->name,
                            .elements = elements,
                            .bits = 8 * chosen[i].bytes / static_cast<double>(elements),
                            .loss = chosen[i].loss});
    plan.bytes += chosen[i].bytes;
    plan.divergence += chosen[i].loss;
  }
  return plan;
}

std::vector<CandidateTable::Chosen> ModelCompressor::State::choose(const Limits& limits) const {
  const uint64_t most = limit_of_bytes(limits);
  std::optional<double> bytes;
  if (most != UINT64_MAX) {
    const double smallest = static_cast<double>(overhead) + candidates.smallest();
    if (static_cast<double>(most) < smallest) refuse(most, smallest);
    bytes = static_cast<double>(most) - static_cast<double>(overhead);
  }
  return candidates.choose(bytes, limits.milliseconds, limits.divergence);
}

CompressedModel ModelCompressor::State::fit(const std::vector<CandidateTable::Chosen>& chosen) {
  CompressedModel out;
  out.plan = plan_of(chosen);
  out.plan.bytes = static_cast<double>(overhead);
  out.plan.divergence = 0;
  visit(
      [&](const fit::Task& task) -> FormPtr {
        auto planned = std::ranges::find(out.plan.tensors, task.name, &PlannedTensor::name);
        if (planned == out.plan.tensors.end()) {
          out.plan.tensors.emplace_back().name = task.name;
          planned = out.plan.tensors.end() - 1;
        }
        PlannedTensor& t = *planned;
        const FormCandidate* candidate = &options.candidates[0];
        for (size_t i = 0; i < chosen.size(); ++i) {
          if (candidates.names()[i] == task.name) candidate = chosen[i].candidate;
        }
        fit::Fitted fitted = candidate->fitter(task);
        const double bytes = static_cast<double>(form::bits(*fitted.form)) / 8;
        t.elements = task.weights.shape.size();
        t.bits = 8 * bytes / static_cast<double>(t.elements);
        t.loss = fitted.error / 2;
        t.form = form::to_string(fitted.form->expression());
        out.plan.bytes += bytes;
        out.plan.divergence += t.loss;
        out.tensors[t.name] = fitted.form;
        return fitted.form;
      },
      false, stage(options, "fitting"));
  return out;
}

// UINT64_MAX: no limit on bytes.
uint64_t ModelCompressor::State::limit_of_bytes(const Limits& limits) const {
  double most = static_cast<double>(UINT64_MAX);
  if (limits.bytes) most = std::min(most, static_cast<double>(*limits.bytes));
  if (limits.bits) most = std::min(most, *limits.bits * static_cast<double>(weights) / 8);
  if (limits.ratio) most = std::min(most, static_cast<double>(input_bytes) / *limits.ratio);
  return most >= static_cast<double>(UINT64_MAX) ? UINT64_MAX : static_cast<uint64_t>(most);
}

void ModelCompressor::State::refuse(uint64_t most, double smallest) const {
  fail(ErrorKind::kLimit,
       "{} bytes are asked for, and the smallest archive of this model has about {:.0f} ({:.3f} "
       "bits a weight), {} of them for what is not fitted",
       most, smallest, 8 * smallest / static_cast<double>(weights), overhead);
}

// Nats a token. Losses grow about as much as predictions diverge.
double ModelCompressor::State::expected_loss(const Limits& limits) {
  double most = INFINITY;
  if (limits.divergence) most = *limits.divergence;
  if (limits.perplexity) most = std::min(most, std::log1p(*limits.perplexity));
  return most;
}

double ModelCompressor::State::step_of(const Limits& limits) const {
  const bool quality = limits.divergence || limits.perplexity;
  const uint64_t most = limit_of_bytes(limits);
  if (most == UINT64_MAX && !quality) fail(ErrorKind::kUsage, "no limit was given");
  const double smallest = static_cast<double>(overhead) + bytes(rates, 1e30);
  if (static_cast<double>(most) < smallest) refuse(most, smallest);
  double step = 0;
  if (most != UINT64_MAX) {
    step = step_for_bytes(rates, static_cast<double>(most) - static_cast<double>(overhead));
  }
  // Where both are limits, the archive is as small as the loss allows.
  return quality ? std::max(step, step_for_loss(rates, expected_loss(limits))) : step;
}

CompressedModel ModelCompressor::State::fit(std::optional<double> room, double step) {
  CompressedModel out;
  out.plan = plan_of(step);
  size_t next = 0;
  double predicted = 0, taken = 0;
  // In the order of visits, which is not that of the rates where the embedding is tied.
  std::vector<Rate> left = rates;
  visit(
      [&](const fit::Task& task) -> FormPtr {
        const auto rate = std::ranges::find(left, task.name, &Rate::name);
        if (room && next > 0) {
          // What rates said is held against what came of it, more so the more was fitted.
          const double seen = predicted / (predicted + 0.1 * bytes(left, step));
          const double correction = 1 + seen * (taken / predicted - 1);
          step = step_for_bytes(left, *room - taken, correction);
        }
        double now = step;
        fit::Fitted fitted;
        uint64_t size = 0;
        for (int tries = 0;; ++tries) {
          fitter.set_step(now);
          fitted = fitter(task);
          size = form::bits(*fitted.form) / 8;
          const bool last = left.size() == 1;
          if (!room || !last || taken + static_cast<double>(size) <= *room || tries == 12) break;
          // The last one must fit.
          now *= std::exp2(8 * (taken + static_cast<double>(size) - *room) /
                               static_cast<double>(rate->elements()) +
                           0.002);
        }
        predicted += rate->bytes(now);
        taken += static_cast<double>(size);
        ++next;
        for (PlannedTensor& t : out.plan.tensors) {
          if (t.name != task.name) continue;
          t.bits = 8 * static_cast<double>(size) / static_cast<double>(t.elements);
          t.loss = fitted.error / 2;
          t.form = form::to_string(fitted.form->expression());
        }
        left.erase(rate);
        out.tensors[std::string(task.name)] = fitted.form;
        return fitted.form;
      },
      false, stage(options, "fitting"));
  out.plan.bytes = static_cast<double>(overhead) + taken;
  out.plan.divergence = 0;
  for (const PlannedTensor& t : out.plan.tensors) out.plan.divergence += t.loss;
  return out;
}

HeldOut ModelCompressor::State::measure(const CompressedModel& compressed) const {
  const LanguageModel small = with_weights(model, compressed.tensors);
  const std::vector<int32_t>& ids = text.held_out;
  audit::PerplexityOptions o{.context = std::min<uint64_t>(text.length, ids.size() - 1),
                             .max_windows = kHeldOutWindows,
                             .changed = 0,
                             .threads = thread_count(options.threads),
                             .progress = stage(options, "measuring what was lost")};
  if (text.begins_with_bos) o.bos = model.tokenizer()->bos();
  model::Session session(small, o.context + 1, o.threads);
  model::Session before(model, o.context + 1, o.threads, session.needed_bytes());
  const audit::LogitSource made = audit::logits_of(session), was = audit::logits_of(before);
  const audit::Evaluation e = audit::evaluate(made, ids, o, &was);
  return {.tokens = e.scored,
          .divergence = e.divergence->kl.mean,
          .perplexity = e.model.perplexity(),
          .perplexity_before = e.reference->perplexity(),
          .same_best = e.divergence->same_best.mean};
}

ModelCompressor::ModelCompressor(const LanguageModel& model, std::vector<archive::Input> inputs,
                                 std::string_view text, CompressModelOptions options)
    : state_(std::make_unique<State>(model, std::move(inputs), text, std::move(options))) {}
ModelCompressor::~ModelCompressor() = default;

ModelPlan ModelCompressor::plan(const Limits& limits) const {
  const State& s = *state_;
  if (s.options.candidates.empty()) return s.plan_of(s.step_of(limits));
  if (s.options.candidates.size() > 1) return s.plan_of(s.choose(limits));
  fail(ErrorKind::kUsage, "what one form will take is known when it is fitted");
}

CompressedModel ModelCompressor::State::fit_within(const Limits& limits) {
  const double step = step_of(limits);
  const uint64_t most = limit_of_bytes(limits);
  if (!limits.divergence && !limits.perplexity) {
    return fit(static_cast<double>(most) - static_cast<double>(overhead), step);
  }
  // What is to be expected is a beginning; what is measured decides.
  constexpr int kTries = 5;
  constexpr double kNear = 0.9;  // of the limit
  double wanted = expected_loss(limits);
  std::optional<CompressedModel> best;
  for (int i = 0; i < kTries; ++i) {
    CompressedModel made = fit(std::nullopt, step_for_loss(rates, wanted));
    if (text.held_out.size() < 2) return made;
    made.measured = measure(made);
    // How much of the limit was used.
    double used = 0;
    if (limits.divergence) used = made.measured->divergence / *limits.divergence;
    if (limits.perplexity) {
      const double grown = made.measured->perplexity / made.measured->perplexity_before - 1;
      used = std::max(used, grown / *limits.perplexity);
    }
    const bool within = used <= 1;
    if (within && (!best || made.plan.bytes < best->plan.bytes)) best = std::move(made);
    if (within && used >= kNear) break;
    wanted *= std::clamp(0.97 / std::max(used, 1e-3), 0.1, 4.0);
  }
  if (!best) {
    fail(ErrorKind::kLimit, "no size was found that loses as little as that on held-out text");
  }
  if (best->plan.bytes > static_cast<double>(most)) {
    fail(ErrorKind::kLimit, "{:.0f} bytes are needed to lose as little as that, {} are allowed",
         best->plan.bytes, most);
  }
  return std::move(*best);
}

CompressedModel ModelCompressor::compress(const Limits& limits) {
  State& s = *state_;
  CompressedModel out;
  if (s.options.candidates.empty()) {
    out = s.fit_within(limits);
  } else if (s.options.candidates.size() == 1) {
    out = s.fit(std::vector<CandidateTable::Chosen>());
  } else {
    out = s.fit(s.choose(limits));
  }
  if (!out.measured && s.text.held_out.size() > 1) out.measured = s.measure(out);
  return out;
}

void ModelCompressor::store(const CompressedModel& compressed,
                            archive::WriteOptions& options) const {
  options.forms = state_->options.rules;
  options.fitted = [regions = state_->regions, tensors = compressed.tensors](
                       std::string_view path, const io::TensorRegion& region) -> FormPtr {
    const auto at = regions.find(region.name);
    if (at == regions.end() || at->second.path != path) return nullptr;
    const auto form = tensors.find(region.name);
    return form == tensors.end() ? nullptr : form->second;
  };
}

uint64_t ModelCompressor::input_bytes() const { return state_->input_bytes; }

}  // namespace pith::weights
