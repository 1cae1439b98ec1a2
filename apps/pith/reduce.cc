// pith compress with a recipe that takes parts of a model out, before all else.
#include <memory>
#include <utility>

#include "compress.h"
#include "message.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::command {

void check_reduction(const CompressArguments& a, const CompressPlan& plan) {
  if (!plan.reduce) return;
  const auto refuse = [](std::string_view text) { fail(ErrorKind::kUsage, "{}", text); };
  if (a.inputs.size() != 1 || a.inputs[0] == "-") {
    refuse("this recipe is for one model, by the name of its folder");
  }
  if (a.rebase || !a.bases.empty()) refuse("this recipe does not go with --rebase or --base");
  if (a.remove) refuse("--rm does not go with a recipe that is lossy");
  if ((!a.rotate.empty() && a.rotate != "none") || a.smooth > 0) {
    refuse("this recipe does not go with --rotate or --smooth");
  }
  if (!a.forms_of.empty()) refuse("this recipe does not go with --forms-of");
  if (plan.refine && has_limits(a)) {
    refuse("with these options the recipe gives heads a size of their own: it takes no limit");
  }
}

void reduce_inputs(const CompressArguments& a, CompressPlan& plan) {
  if (!plan.reduce) return;
  weights::ReduceOptions options{.size = {}, .threads = a.threads, .progress = {}};
  if (a.tokens > 0) options.size.tokens = a.tokens;
  std::unique_ptr<ProgressBar> bar;
  options.progress = [&](const char* stage) {
    bar.reset();
    bar = std::make_unique<ProgressBar>(stage, a.quiet, ProgressUnit::kOther);
    return bar->callback();
  };
  plan.reduced = weights::reduced_model(a.inputs[0], std::move(plan.inputs), calibration_text_of(a),
                                        plan.reduce, options);
  plan.changed = plan.reduced->changed;
  plan.inputs = plan.changed->inputs;
}

void report_reduction(const CompressArguments& a, const weights::ReducedModel& reduced) {
  if (a.quiet) return;
  for (const std::string& text : reduced.notes) note("{}", text);
  const double all = static_cast<double>(reduced.changed.weights);
  note("{} weights of {} are left, {:.1f}%", reduced.weights, reduced.changed.weights,
       100 * static_cast<double>(reduced.weights) / all);
  if (!reduced.measured) return;
  const weights::HeldOut& m = *reduced.measured;
  note(
      "without them, on {} tokens that nothing was fitted to: divergence {:.5f}, perplexity {:.3f} "
      "(it was {:.3f}), same best token {:.2f}%",
      m.tokens, m.divergence, m.perplexity, m.perplexity_before, 100 * m.same_best);
}

}  // namespace pith::command
