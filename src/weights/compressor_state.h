// What a model's compressor holds and does: how it begins (compress_model.cc), what it chooses
// (compress_choose.cc) and how it fits (compress_fit.cc).
#pragma once

#include "candidates.h"
#include "held_out.h"
#include "model_tasks.h"
#include "model_tensors.h"
#include "pith/weights/compress_model.h"
#include "pith/weights/journal.h"
#include "rates.h"

namespace pith::weights {

inline Progress stage(const CompressModelOptions& options, const char* name) {
  return options.progress ? options.progress(name) : Progress();
}

// By `make`, or what it gave before for the same key.
fit::Fitted kept_or_made(Journal& journal, const Hash128& key,
                         const std::function<fit::Fitted()>& make);

// What was fitted, in order: the key of each follows from all before it.
class FittedInOrder {
 public:
  FittedInOrder(Journal& journal, const Hash128& start) : journal_(journal), key_(start) {}

  // how: all that it depends on beside the task.
  fit::Fitted fitted(const fit::Task& task, const KeyMaker& how,
                     const std::function<fit::Fitted()>& make) {
    key_ = KeyMaker().add(key_).add(task.name).add(how.key()).key();
    return kept_or_made(journal_, key_, make);
  }

 private:
  Journal& journal_;
  Hash128 key_;
};

// A form for each matrix of the candidates' table.
struct FormChoice {
  std::vector<CandidateTable::Chosen> forms = {};
  std::string note = {};
};

struct ModelCompressor::State {
  State(const model::LanguageModel& m, std::vector<archive::Input> in, std::string_view calibration,
        CompressModelOptions o)
      : model(m),
        options(std::move(o)),
        tensors(m, std::move(in), options.rules, options.threads),
        journal(options.journal),
        fitter({.step = 1}),
        candidates(options.candidates, options.allocation.proxy, options.allocation.keep) {
    if (options.input_size)
      tensors.count_as(options.input_size->weights, options.input_size->bytes);
    // Known now: no reason to find out after the fit.
    if (leaves_out()) with_thresholds(tensors.inputs(), {});
    check_shapes();
    if (options.within) check_within(*options.within);
    if (options.calibrated) {
      text = calibration_text(model, calibration, options.size);
      calibrate_model();
    }
    start = key_of_start();
    if (is_choice()) measure_rates();
  }

  bool leaves_out() const { return options.leave_out && model.config().experts > 0; }
  // Whether what a weight gets is decided before it is fitted, or is fitted beforehand.
  bool is_choice() const {
    if (is_together()) return false;
    const bool several = options.candidates.size() != 1 || options.allocation.keep;
    return (several || options.allocation.choose) && options.forms.empty();
  }
  // Whether nothing is fitted by itself.
  bool is_together() const { return options.refine && options.candidates.empty(); }
  const FormCandidate& form_of(std::string_view name) const;

  void calibrate_model();
  Hash128 key_of_start() const;
  void measure_rates();
  void measure_candidates(const fit::Task& task);

  // Before anything is calibrated: whether candidates fit, and what the smallest of them take.
  void check_shapes() const;
  void check_within(const Limits& limits) const;

  uint64_t limit_of_bytes(const Limits& limits) const;
  // The bytes of matrices that are left to choose within.
  std::optional<double> room(const Limits& limits) const;
  [[noreturn]] void refuse(uint64_t most, double smallest) const;
  static double expected_loss(const Limits& limits);
  double step_of(const Limits& limits) const;
  ModelPlan empty_plan() const {
    return {.tensors = {},
            .overhead = tensors.overhead(),
            .weights = tensors.weights(),
            .bytes = static_cast<double>(tensors.overhead()),
            .divergence = 0,
            .estimated = options.calibrated && !is_together()};
  }
  ModelPlan plan_of(double step) const;
  ModelPlan plan_of(const FormChoice& choice) const;
  // bytes: of matrices, where that is less than what limits leave.
  FormChoice choose(const Limits& limits, std::optional<double> bytes = {}) const;

  using FitOne = std::function<fit::Fitted(const fit::Task&, FittedInOrder&)>;
  CompressedModel fit_all(const FitOne& fit_one);
  CompressedModel fit(std::optional<double> room, double step);
  CompressedModel fit(const FormChoice& choice);
  CompressedModel fit_within(const Limits& limits);
  CompressedModel fit_chosen(const Limits& limits);
  // Throws ErrorKind::kLimit for what one form came to beyond them.
  void require_met(const Limits& limits, CompressedModel& made) const;
  std::vector<std::string> matrices() const;
  void refine(const Limits& limits, CompressedModel& made) const;
  std::optional<HeldOut> measure(const CompressedModel& compressed) const {
    const model::LanguageModel small =
        compressed.thresholds.empty()
            ? with_weights(model, compressed.tensors)
            : with_weights(model, compressed.tensors, compressed.thresholds);
    return measure_held_out(model, small, text, options.threads,
                            stage(options, "measuring what was lost"));
  }
  void leave_out(CompressedModel& compressed) const;

  const model::LanguageModel& model;
  CompressModelOptions options;
  ModelTensors tensors;
  Journal journal;
  Hash128 start;  // of all that fits depend on
  CalibrationText text;
  std::optional<CalibrationStatistics> statistics;
  fit::WaterFilling fitter;
  std::vector<Rate> rates;    // of integers
  CandidateTable candidates;  // of others
  ModelTasks tasks{
      model,          tensors, statistics, options.calibrated ? &text : nullptr, options.curvature,
      options.threads};
};

}  // namespace pith::weights
