// Published methods that put products of two narrow matrices in the place of one, or beside it.
#include "pith/fit/low_rank.h"

#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/feedback.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using fit::Weighing;

form::Expression factors_of(const Values& values) {
  return form::parse(values.find("factors")->second);
}

void use_fwsvd(const Values& values, Plan& plan) {
  const std::string_view importance = word(values, "importance", {"outputs", "inputs", "nothing"});
  const fit::TruncationOptions options{.damping = 0,
                                       .by = importance == "outputs"  ? Weighing::kOutputs
                                             : importance == "inputs" ? Weighing::kInputs
                                                                      : Weighing::kNothing};
  for (const std::string_view kept : list(values, "keep")) {
    plan.candidates.push_back(
        {fmt::format("fwsvd {}", kept),
         fit::low_rank_of_share(share("keep", kept, 1), factors_of(values), options),
         0,
         {},
         true});
  }
  leave_vocabulary(plan);
}

// What is to be made up for: pruned, rounded, or both.
fit::Fitter base_of(const Values& values) {
  const std::string& keep = values.find("keep")->second;
  const uint64_t bits = number(values, "bits", 0, 8);
  const bool fed = word(values, "base", {"feedback", "nearest"}) == "feedback";
  const std::string codes =
      fmt::format("uniform({}, group={})", bits, number(values, "group", 1, 1 << 16));
  if (keep == "all" && bits == 0) {
    fail(ErrorKind::kUsage, "keep=all leaves nothing to make up for without bits");
  }
  const form::Expression e = form::parse(
      keep == "all" ? codes
                    : fmt::format("sparse({}{})", keep, bits == 0 ? "" : ", values=" + codes));
  if (!fed) return fit::nearest_fitter(e);
  return keep == "all" ? fit::feedback_fitter(e, {.sweeps = 0}) : fit::sparse_fitter(e);
}

void use_eora(const Values& values, Plan& plan) {
  const double damping = real(values, "damping", 0, 1e3);
  const fit::Fitter base = base_of(values);
  for (const std::string_view rank : list(values, "rank")) {
    number({{"rank", std::string(rank)}}, "rank", 0, 1 << 16);
    const auto e = form::parse(
        fmt::format("lowrank({}, factors={})", rank, form::to_string(factors_of(values))));
    plan.candidates.push_back({fmt::format("eora {}", rank),
                               fit::compensated(base, e, {.damping = damping}),
                               0,
                               {},
                               true});
  }
  leave_vocabulary(plan);
}

}  // namespace

Recipe fwsvd() {
  Recipe r;
  r.name = "fwsvd";
  r.id = "S211";
  r.title = "Language model compression with weighted low-rank factorization";
  r.area = "weights";
  r.summary =
      "Singular vectors of a matrix whose rows (as in y = x W: one for each input) are weighed by "
      "their mean squared gradients, so that what the loss feels is kept, though more of the "
      "matrix "
      "is lost.";
  r.compose = "lowrank(r)";
  r.differs =
      "the importance of an input is the mean of its squares, which times that of all output "
      "gradients is the sum of its weights' squared gradients if both are independent; -O "
      "importance=outputs weighs the other side, by the second moments of gradients for targets "
      "drawn from the model; no training after it.";
  r.waits = "fine-tuning";
  r.verified =
      "a recipe test on the reference model at equal rank: squared error larger and divergence on "
      "held-out text smaller than plain singular vectors'. With the importance of outputs that "
      "holds with much text for calibration and not with little (docs/fitters-sparse.md).";
  r.example = "pith compress lm --recipe fwsvd -O keep=60%";
  r.parts = {"fit/low_rank.h", "budget/solve.h"};
  r.options = {
      {"keep", "50%", "of a matrix's elements, in both factors; several share out a limit"},
      {"importance", "inputs", "of inputs, of outputs, or nothing: plain singular vectors"},
      {"factors", "dense(f16)", "the form of both factors"}};
  r.place = {.acts = {Act::kFactored},
             .patterns = {},
             .criterion = Criterion::kFirstOrder,
             .moment = Moment::kOneShot,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"5%", "10%", "15%", "20%", "25%", "35%", "50%", "75%"}}};
  r.apply = use_fwsvd;
  return r;
}

Recipe eora() {
  Recipe r;
  r.name = "eora";
  r.id = "S085";
  r.title =
      "EoRA: Training-free Compensation for Compressed LLM with Eigenspace Low-Rank Approximation";
  r.area = "weights";
  r.summary =
      "What pruning or rounding left is made up for by a low rank beside it, whose directions are "
      "those that the inputs of the matrix use most.";
  r.compose = "sparse(2:4) + lowrank(16), uniform(3, group=64) + lowrank(16)";
  r.differs =
      "a Cholesky root of the inputs' second moments instead of the eigenvectors', which gives the "
      "same; outputs count by their importance; damping instead of a floor under eigenvalues, and "
      "far more of it.";
  r.verified =
      "recipe tests on two layers of the reference model, at 2:4 and at 3 bits: divergence on "
      "held-out "
      "text below plain singular vectors of the same error at equal rank; fit tests show that with "
      "inputs that are alike both coincide; figures for all layers in docs/fitters-sparse.md.";
  r.example = "pith compress lm --recipe eora -O keep=all -O bits=3 -O rank=16";
  r.parts = {"fit/low_rank.h", "fit/feedback.h"};
  r.options = {{"keep", "2:4", "of what is made up for: a share, n:m or all"},
               {"bits", "0", "of its values, 1 to 8; 0: 16, as they are"},
               {"group", "64", "neighbours in a row that share a scale, with bits"},
               {"base", "feedback", "how that is fitted: feedback or nearest"},
               {"rank", "16", "of what is beside it; several as 8+16+32 share out a limit"},
               {"factors", "dense(f16)", "the form of its factors"},
               {"damping", "0.1", "added to the inputs' second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kFactored, Act::kPruned, Act::kQuantized},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"all"}}, {"bits", {"2", "3", "4", "5"}}, {"rank", {"4", "8", "16"}}};
  r.apply = use_eora;
  return r;
}

}  // namespace pith::recipe
