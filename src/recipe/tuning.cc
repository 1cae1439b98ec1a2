// A published method that tunes a compressed model on what its predictions lose.
#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "pith/weights/tuned_codes.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using fit::CodeMoves;

void use_pv_tuning(const Values& values, Plan& plan) {
  const auto e =
      form::parse(fmt::format("codebook({}, dim={}, group=row)",
                              number(values, "entries", 2, 65536), number(values, "dim", 1, 64)));
  plan.candidates.push_back({"pv-tuning", fit::feedback_fitter(e, {.damping = 0.03})});
  const std::string_view codes = word(values, "codes", {"few", "none", "straight-through"});
  const double few = share("share", values.find("share")->second, 1);
  if (few <= 0) fail(ErrorKind::kUsage, "share must be above 0%");
  weights::TuningOptions o;
  o.steps = number(values, "steps", 0, 1'000'000);
  o.tokens = number(values, "tokens", 1, 1 << 24);
  o.codes = {.moves = codes == "few"    ? CodeMoves::kLongest
                      : codes == "none" ? CodeMoves::kNone
                                        : CodeMoves::kStraightThrough,
             .share = few,
             .entry_rate = real(values, "rate", 0, 10),
             .scale_rate = real(values, "scale-rate", 0, 10),
             .weight_rate = real(values, "reach", 0, 100)};
  plan.refine = [o](const weights::Refining& r) { return weights::tune_codes(r, o); };
  leave_vocabulary(plan);
}

}  // namespace

Recipe pv_tuning() {
  Recipe r;
  r.name = "pv-tuning";
  r.id = "S103";
  r.title = "PV-Tuning: Beyond Straight-Through Estimation for Extreme LLM Compression";
  r.area = "weights";
  r.summary =
      "Vectors of neighbours share the entries of a codebook; then, by turns, entries and scales "
      "take a step down the divergence from the model as it was, and, if asked for, the codes of "
      "the few vectors that its gradient would move farthest go to the nearest of where they would "
      "be.";
  r.compose = "codebook(256, dim=4, group=row)";
  r.differs =
      "codes stay unless codes=few says otherwise, since with as little text as calibration has "
      "they lose by it; all of those look as far, down the running mean of the gradient. Norms and "
      "what else is not quantized stay as they are; entries and scales take Adam's steps.";
  r.waits = "norms, forms without vectors";
  r.verified =
      "fit tests, outputs of a matrix by gradients of some inputs at a time: few codes leave less "
      "than half of what entries and scales alone do and less than straight-through steps at three "
      "rates, all codes at once more than there was before. weights tests, a tiny random model: "
      "few "
      "codes leave less divergence than entries alone, in as many bits. Half of the reference "
      "model's layers in 2.3 bits with error feedback, 40 steps of 256 of 4096 tokens, divergence "
      "on 2048 tokens of books-valid: 0.0342 before, 0.0257 with entries and scales (perplexity "
      "39.98 to 39.43, 38.26 as it was), the same straight through at a rate of 0.01, which "
      "changes "
      "no code; with 0.2% of the codes in a step 0.056, with 1% moved by Adam's steps at the "
      "weights (not kept) 0.0319. From k-means "
      "without feedback on 0.0678 before, 0.0321 with entries and scales, 0.198 with 1% of the "
      "codes. So that "
      "few codes win is contradicted for it: a gradient of a few thousand tokens says less of a "
      "single code than its noise. More text, as the paper has, was not tried.";
  r.example = "pith compress lm --recipe pv-tuning -O steps=4";
  r.parts = {"weights/tuned_codes.h", "fit/code_steps.h", "form/vector_fit.h", "model/gradient.h"};
  r.options = {
      {"entries", "256", "of a codebook, 2 to 65536"},
      {"dim", "4", "neighbours in a row that a code stands for"},
      {"steps", "100", "of both kinds"},
      {"tokens", "2048", "of calibration text in a step, in whole windows"},
      {"codes", "none",
       "that may change in a step: none, few, or all straight through the rounding"},
      {"share", "0.1%", "of the codes, that are few"},
      {"rate", "0.01", "of steps of entries, in roots of their mean square"},
      {"scale-rate", "0.003", "of steps of scales, as a share of each"},
      {"reach", "0.5", "how far weights move for other codes, in roots of their mean square"}};
  r.place = {.acts = {Act::kQuantized, Act::kDistilled},
             .patterns = {},
             .criterion = Criterion::kFirstOrder,
             .moment = Moment::kIterative,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"entries", {"16", "64", "256", "1024"}}, {"dim", {"2", "4"}}};
  r.apply = use_pv_tuning;
  return r;
}

}  // namespace pith::recipe
